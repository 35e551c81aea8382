package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	heartbeatEvery   = 2 * time.Second // of silence
	heartbeatTimeout = 2 * time.Second

	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// A session that lasted this long was a good one: backing off starts anew.
	steadyAfter = 10 * time.Second
)

// KeyEvents is what a Listener reports, one call after the other.
type KeyEvents interface {
	// Notify: a notification of the channel hoko_keys arrived. See docs/keys.md
	// for its payload.
	Notify(payload string)
	// Listening: from here on no notification is missed. Some may have been
	// missed before.
	Listening()
	// Deaf: the connection is lost or mute. Called once after each Listening.
	Deaf()
}

// Listener hears of changed keys over a connection of its own.
type Listener struct {
	config *pgx.ConnConfig
	sink   KeyEvents
	logger *slog.Logger
}

// NewListener connects to nothing yet: Run does.
func NewListener(o Options, sink KeyEvents) (*Listener, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	config, err := poolConfig(o.ListenDSN, nil)
	if err != nil {
		return nil, fmt.Errorf("listener: %w", err)
	}
	return &Listener{config: config.ConnConfig, sink: sink, logger: o.Logger}, nil
}

// Run listens until ctx ends, and returns its error. It connects again whenever
// the connection is lost. Call it once, in a goroutine of the caller's.
func (l *Listener) Run(ctx context.Context) error {
	backoff := firstBackoff
	for {
		started := time.Now()
		listened, err := l.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(started) >= steadyAfter {
			backoff = firstBackoff
		}
		level := slog.LevelDebug // of an outage, only the beginning is news
		if listened || backoff == firstBackoff {
			level = slog.LevelWarn
		}
		l.logger.Log(ctx, level, "not listening for changed keys", slog.Any("error", err), slog.Duration("retry_in", backoff))
		if !sleep(ctx, withJitter(backoff)) {
			return ctx.Err()
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// session is one connection, from dialling to its loss. It returns why it
// ended, and whether it had been listening.
func (l *Listener) session(ctx context.Context) (listened bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return false, fmt.Errorf("connect to postgres: %w", err)
	}
	defer closeConn(conn)
	if err := bounded(ctx, func(ctx context.Context) error {
		_, err := conn.Exec(ctx, "LISTEN hoko_keys")
		return err
	}); err != nil {
		return false, fmt.Errorf("listen: %w", err)
	}
	// Committed: whatever commits from here on is heard.
	l.sink.Listening()
	defer l.sink.Deaf()
	l.logger.Info("listening for changed keys")
	return true, l.receive(ctx, conn)
}

// receive hands on notifications, and asks a silent server for a sign of life.
func (l *Listener) receive(ctx context.Context, conn *pgx.Conn) error {
	for {
		silence, cancel := context.WithTimeout(ctx, heartbeatEvery)
		notification, err := conn.WaitForNotification(silence)
		silent := silence.Err() != nil
		cancel()
		if notification != nil {
			l.sink.Notify(notification.Payload)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case !silent:
			return fmt.Errorf("wait for notification: %w", err)
		default:
			if err := heartbeat(ctx, conn); err != nil {
				return fmt.Errorf("heartbeat: %w", err)
			}
		}
	}
}

// errNotListening: the session that answered is not the one that listens.
var errNotListening = errors.New("the session forgot its LISTEN; behind a PgBouncer in transaction mode, set listen_dsn to the database itself")

// heartbeat keeps notifications that arrive meanwhile for the next wait.
func heartbeat(ctx context.Context, conn *pgx.Conn) error {
	var listening bool
	err := bounded(ctx, func(ctx context.Context) error {
		return conn.QueryRow(ctx, "SELECT 'hoko_keys' IN (SELECT pg_listening_channels())").Scan(&listening)
	})
	if err == nil && !listening {
		return errNotListening
	}
	return err
}

func bounded(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	return do(ctx)
}

// withJitter spreads edges that lost the same server.
func withJitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2)
}

// sleep is false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
