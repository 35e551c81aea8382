package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// heartbeatEvery is also how long one may take to be heard: a connection that
	// ceases to hear is noticed within twice as long.
	heartbeatEvery = 2 * time.Second
	// resendAfter a heartbeat could not be sent.
	resendAfter = 250 * time.Millisecond
)

// ErrUnheard: what is notified in the database does not reach the listener,
// though its connection answers.
var ErrUnheard = errors.New("notifications do not arrive: listen_dsn must be a direct or session-mode connection to the same database")

// newHeartbeatChannel is an identifier that needs no quotes.
func newHeartbeatChannel() string {
	random := make([]byte, 8)
	rand.Read(random)
	return "hoko_heartbeat_" + hex.EncodeToString(random)
}

// hearing is the use of one connection that listens. A goroutine reads it until
// end, and each heartbeat is sent by one that ends with it; all else, the sink
// included, is the caller's.
type hearing struct {
	*Listener
	conn   *pgx.Conn
	heard  chan *pgconn.Notification // closed when the connection is lost
	lost   error                     // why, from then on
	stop   context.CancelFunc
	proven bool  // the last heartbeat was heard, and the sink knows
	unsent error // why no heartbeat could be sent since the last that was heard
}

func newHearing(l *Listener, conn *pgx.Conn) *hearing {
	ctx, stop := context.WithCancel(context.Background())
	h := &hearing{Listener: l, conn: conn, heard: make(chan *pgconn.Notification), stop: stop}
	go h.read(ctx)
	return h
}

// end tells the sink, and closes the connection.
func (h *hearing) end() {
	if h.proven {
		h.sink.Deaf()
	}
	h.stop()
	for range h.heard {
	}
	closeConn(h.conn)
}

func (h *hearing) read(ctx context.Context) {
	defer close(h.heard)
	for {
		notification, err := h.conn.WaitForNotification(ctx)
		if err != nil {
			h.lost = fmt.Errorf("wait for notification: %w", err)
			return
		}
		h.heard <- notification
	}
}

// beat sends a heartbeat, and hands on what is heard until the next is due. It is
// sent over another connection, as revocations are: a pooler can answer this one,
// and its own notifications, while it keeps all others from it.
//
// An error means that the connection is of no use. Where the heartbeat could not
// be sent it may well be, and is kept: revocations are still heard then.
func (h *hearing) beat(ctx context.Context) error {
	h.beats++
	payload := strconv.FormatUint(h.beats, 10)
	window, cancel := context.WithTimeout(ctx, heartbeatEvery)
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- h.send(window, payload) }()
	back, err := h.hear(window, payload)
	cancel()
	unsent := <-sent
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case back:
		return nil
	case unsent == nil:
		return ErrUnheard
	}
	h.unproven(unsent)
	return nil
}

// send tries as long as it may: a connection may have been lost, or all be in use.
func (h *hearing) send(ctx context.Context, payload string) (failed error) {
	for {
		err := h.keys.notify(ctx, h.channel, payload)
		if err == nil {
			return nil
		}
		if failed == nil || ctx.Err() == nil { // that time was up says less than what took it
			failed = err
		}
		if !sleep(ctx, resendAfter) {
			return failed
		}
	}
}

// hear says whether the heartbeat came back before ctx ended.
func (h *hearing) hear(ctx context.Context, payload string) (back bool, err error) {
	for {
		select {
		case notification, ok := <-h.heard:
			switch {
			case !ok:
				return back, h.lost
			case notification.Channel != h.channel:
				h.sink.Notify(notification.Payload)
			case notification.Payload == payload: // not that of an earlier one, which came too late
				back = true
				h.prove()
			}
		case <-ctx.Done():
			return back, nil
		}
	}
}

func (h *hearing) prove() {
	if h.proven {
		return
	}
	h.proven, h.unsent = true, nil
	h.sink.Listening()
	h.logger.Info("listening for changed keys")
}

func (h *hearing) unproven(err error) {
	level := slog.LevelDebug
	if h.unsent == nil {
		level = slog.LevelWarn
	}
	h.unsent = fmt.Errorf("no heartbeat could be sent over the connections that look keys up: %w", err)
	if h.proven {
		h.proven = false
		h.sink.Deaf()
	}
	h.logger.Log(context.Background(), level, "not listening for changed keys", slog.Any("error", h.unsent))
}
