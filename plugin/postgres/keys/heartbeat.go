package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/postgres"
)

const (
	// heartbeatInterval is also how long a heartbeat may take. A connection that stops delivering
	// is detected within twice this time.
	heartbeatInterval = 2 * time.Second
	// resendInterval is the pause after a heartbeat could not be sent.
	resendInterval = 250 * time.Millisecond
)

// ErrHeartbeatLost means that the listener's connection works but delivers no notifications.
var ErrHeartbeatLost = errors.New("notifications do not arrive: " +
	"listen_dsn must be a direct or session-mode connection to the same database")

// listenConn is one listening connection. One goroutine reads it, and another one sends each
// heartbeat. All methods but read and send, and all calls of events, run in the caller's goroutine.
type listenConn struct {
	conn    *pgx.Conn
	channel string // of the heartbeats
	keys    *Store // whose connections send the heartbeats
	events  Events
	logger  *slog.Logger
	lag     *atomic.Int64 // nanoseconds that the last heartbeat took

	received chan *pgconn.Notification // closed when the connection is lost
	readErr  error                     // set before received is closed
	stop     context.CancelFunc        // ends the reading goroutine
	up       bool                      // ListenerUp was called last, not ListenerDown
	sendErr  error                     // why no heartbeat could be sent since the last one that arrived
}

func (c *listenConn) start() {
	ctx, stop := context.WithCancel(context.Background())
	c.received, c.stop = make(chan *pgconn.Notification), stop
	go c.read(ctx)
}

// end calls ListenerDown if the listener is up, and closes the connection.
func (c *listenConn) end() {
	if c.up {
		c.events.ListenerDown()
	}
	c.stop()
	for range c.received {
	}
	postgres.CloseConn(c.conn)
}

func (c *listenConn) read(ctx context.Context) {
	defer close(c.received)
	for {
		notification, err := c.conn.WaitForNotification(ctx)
		if err != nil {
			c.readErr = fmt.Errorf("wait for notification: %w", err)
			return
		}
		c.received <- notification
	}
}

// heartbeat sends a heartbeat, and passes on what arrives until the next one is due. It sends over
// another connection, as revocations do: through a pooler, a connection may receive only its own
// notifications.
//
// An error means that the connection is of no use. If the heartbeat could not be sent, the
// connection may still deliver revocations, so heartbeat returns nil.
func (c *listenConn) heartbeat(ctx context.Context) error {
	payload, start := rand.Text(), time.Now()
	window, cancel := context.WithTimeout(ctx, heartbeatInterval)
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- c.send(window, payload) }()
	arrived, err := c.receive(window, payload, start)
	cancel()
	sendErr := <-sent
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case arrived:
		return nil
	case sendErr == nil:
		return ErrHeartbeatLost
	}
	c.setDown(sendErr)
	return nil
}

// send sends a heartbeat, and retries until ctx ends: a connection may be lost, or all in use.
func (c *listenConn) send(ctx context.Context, payload string) (lastErr error) {
	for {
		err := c.keys.notify(ctx, c.channel, payload)
		if err == nil {
			return nil
		}
		if lastErr == nil || ctx.Err() == nil { // an earlier error says more than the end of ctx
			lastErr = err
		}
		if !postgres.Pause(ctx, resendInterval) {
			return lastErr
		}
	}
}

// receive passes on notifications until ctx ends. It reports whether the heartbeat, sent at start,
// arrived.
func (c *listenConn) receive(ctx context.Context, payload string, start time.Time) (arrived bool, err error) {
	for {
		select {
		case notification, ok := <-c.received:
			switch {
			case !ok:
				return arrived, c.readErr
			case notification.Channel != c.channel:
				c.events.Notify(notification.Payload)
			case notification.Payload == payload: // not an earlier heartbeat, which came too late
				arrived = true
				c.lag.Store(int64(time.Since(start)))
				c.setUp()
			}
		case <-ctx.Done():
			return arrived, nil
		}
	}
}

func (c *listenConn) setUp() {
	if c.up {
		return
	}
	c.up, c.sendErr = true, nil
	c.events.ListenerUp()
	c.logger.Info("listening for changed keys")
}

func (c *listenConn) setDown(err error) {
	level := slog.LevelDebug
	if c.sendErr == nil {
		level = slog.LevelWarn
	}
	c.sendErr = fmt.Errorf("no heartbeat could be sent over the connections that look keys up: %w", err)
	if c.up {
		c.up = false
		c.events.ListenerDown()
	}
	c.logger.Log(context.Background(), level, "not listening for changed keys", slog.Any("error", c.sendErr))
}
