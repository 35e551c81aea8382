package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/postgres"
)

const (
	// heartbeatEvery is also how long one may take to be heard: a connection that
	// ceases to hear is noticed within twice as long.
	heartbeatEvery = 2 * time.Second
	// resendAfter a heartbeat could not be sent.
	resendAfter = 250 * time.Millisecond
)

// ErrHeartbeatLost: what is notified in the database does not reach the listener,
// though its connection answers.
var ErrHeartbeatLost = errors.New("notifications do not arrive: listen_dsn must be a direct or session-mode connection to the same database")

// listenConn is one connection that listens. A goroutine reads it until end, and each heartbeat is
// sent by one that ends with it. Everything else runs in the caller's goroutine, calls of the sink
// included.
type listenConn struct {
	conn    *pgx.Conn
	channel string // of the heartbeats
	keys    *Store // sends them
	sink    Events
	logger  *slog.Logger

	heard  chan *pgconn.Notification // closed when the connection is lost
	lost   error                     // why, from then on
	stop   context.CancelFunc
	proven bool  // the last heartbeat was heard, and the sink knows
	unsent error // why no heartbeat could be sent since the last that was heard
}

// start begins to read the connection.
func (h *listenConn) start() {
	ctx, stop := context.WithCancel(context.Background())
	h.heard, h.stop = make(chan *pgconn.Notification), stop
	go h.read(ctx)
}

// end tells the sink, and closes the connection.
func (h *listenConn) end() {
	if h.proven {
		h.sink.ListenerDown()
	}
	h.stop()
	for range h.heard {
	}
	postgres.CloseConn(h.conn)
}

func (h *listenConn) read(ctx context.Context) {
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
func (h *listenConn) beat(ctx context.Context) error {
	payload := rand.Text() // no two are alike
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
		return ErrHeartbeatLost
	}
	h.unproven(unsent)
	return nil
}

// send tries as long as it may: a connection may have been lost, or all be in use.
func (h *listenConn) send(ctx context.Context, payload string) (failed error) {
	for {
		err := h.keys.notify(ctx, h.channel, payload)
		if err == nil {
			return nil
		}
		if failed == nil || ctx.Err() == nil { // that time was up says less than what took it
			failed = err
		}
		if !postgres.Pause(ctx, resendAfter) {
			return failed
		}
	}
}

// hear says whether the heartbeat came back before ctx ended.
func (h *listenConn) hear(ctx context.Context, payload string) (back bool, err error) {
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

func (h *listenConn) prove() {
	if h.proven {
		return
	}
	h.proven, h.unsent = true, nil
	h.sink.ListenerUp()
	h.logger.Info("listening for changed keys")
}

func (h *listenConn) unproven(err error) {
	level := slog.LevelDebug
	if h.unsent == nil {
		level = slog.LevelWarn
	}
	h.unsent = fmt.Errorf("no heartbeat could be sent over the connections that look keys up: %w", err)
	if h.proven {
		h.proven = false
		h.sink.ListenerDown()
	}
	h.logger.Log(context.Background(), level, "not listening for changed keys", slog.Any("error", h.unsent))
}
