package keys

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/postgres"
)

const (
	// listenTimeout bounds the LISTEN of a new connection.
	listenTimeout = 2 * time.Second

	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// A session that lasted this long was a good one: backing off starts anew.
	steadyAfter = 10 * time.Second
)

// Events is what a Listener reports, one call after the other.
type Events interface {
	// Notify: a notification of the channel hoko_keys arrived. See docs/keys.md
	// for its payload.
	Notify(payload string)
	// ListenerUp reports that a heartbeat has arrived: the listener misses no notification from
	// now on. It may have missed some before.
	ListenerUp()
	// ListenerDown reports that notifications may be missed: the connection is lost, or a
	// heartbeat did not arrive. It is called once after each ListenerUp. Notifications that still
	// arrive are reported.
	ListenerDown()
}

// Listener hears of changed keys over a connection of its own.
type Listener struct {
	connector *postgres.Connector
	keys      *Store
	sink      Events
	logger    *slog.Logger

	// channel of its heartbeats, known to no other session. It is the same on every connection: a
	// pooler would keep a session listening on each that there was.
	channel string
}

// NewListener connects to nothing yet: Run does. The heartbeats are sent over the
// connections of keys, which must stay open until Run has returned.
func NewListener(o postgres.Options, keys *Store, sink Events) (*Listener, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	connector, err := postgres.NewConnector(o.ListenDSN, nil)
	if err != nil {
		return nil, fmt.Errorf("listen_dsn: %w", err)
	}
	return &Listener{connector: connector, keys: keys, sink: sink, logger: o.Logger, channel: "hoko_heartbeat_" + strings.ToLower(rand.Text())}, nil
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
		if !postgres.Pause(ctx, backoff) {
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
func (l *Listener) open(ctx context.Context) (*listenConn, error) {
	conn, err := l.connector.Connect(ctx, func(config *pgx.ConnConfig) {
		config.OnNotification = nil // pgx queues them for WaitForNotification
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	// One statement, as a pooler may give each to a session of its own.
	if _, err := conn.Exec(ctx, "LISTEN hoko_keys; LISTEN "+l.channel); err != nil {
		postgres.CloseConn(conn)
		return nil, fmt.Errorf("listen: %w", err)
	}
	h := &listenConn{conn: conn, channel: l.channel, keys: l.keys, sink: l.sink, logger: l.logger}
	h.start()
	return h, nil
}

// CheckListener listens until a heartbeat has been heard, or ctx ends, and says
// why none was: ErrHeartbeatLost where notifications do not arrive.
func CheckListener(ctx context.Context, o postgres.Options) error {
	keys, err := NewStore(o)
	if err != nil {
		return err
	}
	defer keys.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := NewListener(o, keys, firstHeard(cancel))
	if err != nil {
		return err
	}
	h, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer h.end()
	for err == nil {
		err = h.beat(ctx)
	}
	switch {
	case h.proven:
		return nil
	case h.unsent != nil:
		return h.unsent
	}
	return err
}

// firstHeard is called when the listener listens.
type firstHeard func()

func (f firstHeard) ListenerUp() { f() }
func (firstHeard) Notify(string) {}
func (firstHeard) ListenerDown() {}
