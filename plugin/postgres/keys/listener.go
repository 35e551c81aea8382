package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/postgres"
)

const (
	// listenTimeout bounds the LISTEN of a new connection.
	listenTimeout = 2 * time.Second

	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	// resetBackoffAfter is how long a connection must last to reset the backoff.
	resetBackoffAfter = 10 * time.Second
)

// Events receives what a [Listener] reports. Calls are sequential.
type Events interface {
	// Notify reports a notification on the channel hoko_keys. docs/keys.md describes the payloads.
	Notify(payload string)
	// ListenerUp reports that a heartbeat has arrived: the listener misses no notification from
	// now on. It may have missed some before.
	ListenerUp()
	// ListenerDown reports that notifications may be missed: the connection is lost, or a heartbeat
	// did not arrive. It is called once after each ListenerUp. Notify calls may still follow.
	ListenerDown()
}

// Listener reports changes to keys. It listens on a separate connection.
type Listener struct {
	connector *postgres.Connector
	keys      *Store
	events    Events
	logger    *slog.Logger
	lag       atomic.Int64
	lost      atomic.Bool // the last session ended with ErrHeartbeatLost

	// channel is for heartbeats of this listener only. It is the same on every connection, because
	// a pooler's session would continue to listen on the old ones.
	channel string
}

// NewListener returns a Listener without connecting. It sends heartbeats over the connections of
// keys, which must stay open until [Listener.Run] has returned.
func NewListener(o postgres.Options, keys *Store, events Events) (*Listener, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	connector, err := postgres.NewConnector(o.ListenDSN, nil)
	if err != nil {
		return nil, fmt.Errorf("listen_dsn: %w", err)
	}
	channel := "hoko_heartbeat_" + strings.ToLower(rand.Text())
	return &Listener{connector: connector, keys: keys, events: events, logger: o.Logger, channel: channel}, nil
}

// HeartbeatLag returns how long the last heartbeat that arrived took, 0 before the first.
func (l *Listener) HeartbeatLag() time.Duration { return time.Duration(l.lag.Load()) }

// HeartbeatLost reports whether the last session ended with [ErrHeartbeatLost]. It has no meaning
// while the listener is up.
func (l *Listener) HeartbeatLost() bool { return l.lost.Load() }

// Run listens until ctx ends, and returns ctx.Err(). It reconnects whenever the connection is lost.
// Call Run once. Its goroutines end before it returns.
func (l *Listener) Run(ctx context.Context) error {
	backoff := minBackoff
	for {
		started := time.Now()
		wasUp, err := l.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.lost.Store(errors.Is(err, ErrHeartbeatLost))
		if time.Since(started) >= resetBackoffAfter {
			backoff = minBackoff
		}
		level := slog.LevelDebug // only the first error of an outage is a warning
		if wasUp || backoff == minBackoff {
			level = slog.LevelWarn
		}
		l.logger.Log(ctx, level, "not listening for changed keys",
			slog.Any("error", err), slog.Duration("retry_in", backoff))
		if !postgres.Pause(ctx, backoff) {
			return ctx.Err()
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// session opens a connection and listens until it is lost. It returns the cause, and whether the
// listener was up until then.
func (l *Listener) session(ctx context.Context) (wasUp bool, err error) {
	c, err := l.open(ctx)
	if err != nil {
		return false, err
	}
	defer c.end()
	for err == nil {
		err = c.heartbeat(ctx)
	}
	return c.up, err
}

// open connects and runs LISTEN.
func (l *Listener) open(ctx context.Context) (*listenConn, error) {
	conn, err := l.connector.Connect(ctx, func(config *pgx.ConnConfig) {
		config.OnNotification = nil // pgx queues them for WaitForNotification
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	// One Exec, because a pooler may use another session for the next one.
	if _, err := conn.Exec(ctx, "LISTEN hoko_keys; LISTEN "+l.channel); err != nil {
		postgres.CloseConn(conn)
		return nil, fmt.Errorf("listen: %w", err)
	}
	c := &listenConn{conn: conn, channel: l.channel, keys: l.keys, events: l.events, logger: l.logger,
		lag: &l.lag}
	c.start()
	return c, nil
}

// CheckListener listens until a heartbeat has arrived or ctx ends. It returns an error if none has
// arrived: [ErrHeartbeatLost] if heartbeats could be sent.
func CheckListener(ctx context.Context, o postgres.Options) error {
	keys, err := NewStore(o)
	if err != nil {
		return err
	}
	defer keys.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := NewListener(o, keys, onListenerUp(cancel))
	if err != nil {
		return err
	}
	c, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer c.end()
	for err == nil {
		err = c.heartbeat(ctx)
	}
	switch {
	case c.up:
		return nil
	case c.sendErr != nil:
		return c.sendErr
	}
	return err
}

// onListenerUp is an Events that is called if the listener is up.
type onListenerUp func()

func (f onListenerUp) ListenerUp() { f() }
func (onListenerUp) Notify(string) {}
func (onListenerUp) ListenerDown() {}
