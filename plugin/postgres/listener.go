package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// listenTimeout bounds the LISTEN of a new connection.
	listenTimeout = 2 * time.Second

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
	// Listening: from here on no notification is missed, as a heartbeat proves.
	// Some may have been missed before.
	Listening()
	// Deaf: the connection is lost or mute, or nothing proves that it is not. Called
	// once after each Listening. What arrives all the same is still reported.
	Deaf()
}

// Listener hears of changed keys over a connection of its own.
type Listener struct {
	config *pgx.ConnConfig
	keys   *KeyStore
	sink   KeyEvents
	logger *slog.Logger

	// channel of its heartbeats, which nobody else knows. The same on every
	// connection: a pooler would keep a session listening on each that there was.
	channel string
	beats   uint64 // heartbeats begun; no two are alike
}

// NewListener connects to nothing yet: Run does. The heartbeats are sent over the
// connections of keys, which must stay open until Run has returned.
func NewListener(o Options, keys *KeyStore, sink KeyEvents) (*Listener, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	config, err := poolConfig(o.ListenDSN, nil)
	if err != nil {
		return nil, fmt.Errorf("listener: %w", err)
	}
	config.ConnConfig.OnNotification = nil // pgx keeps them for WaitForNotification
	return &Listener{config: config.ConnConfig, keys: keys, sink: sink, logger: o.Logger, channel: newHeartbeatChannel()}, nil
}

// Run listens until ctx ends, and returns its error. It connects again whenever
// the connection is lost. Call it once, in a goroutine of the caller's; those that
// it starts end before it does.
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
// ended, and whether it had been listening until then.
func (l *Listener) session(ctx context.Context) (listened bool, err error) {
	h, err := l.open(ctx)
	if err != nil {
		return false, err
	}
	defer h.end()
	for err == nil {
		err = h.beat(ctx)
	}
	return h.proven, err
}

// open connects and listens. Whatever commits from then on is heard, if the
// connection is as it should be.
func (l *Listener) open(ctx context.Context) (*hearing, error) {
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return nil, fmt.Errorf("connect to postgres: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	// One statement, as a pooler may give each to a session of its own.
	if _, err := conn.Exec(ctx, "LISTEN hoko_keys; LISTEN "+l.channel); err != nil {
		closeConn(conn)
		return nil, fmt.Errorf("listen: %w", err)
	}
	return newHearing(l, conn), nil
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
