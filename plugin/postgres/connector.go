package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// connectTimeout bounds one attempt to connect if the connection string sets no connect_timeout.
	connectTimeout = 5 * time.Second

	// PeerTimeout is how long a peer may leave sent data unacknowledged, or be silent on an
	// idle connection, before the kernel gives the connection up.
	PeerTimeout = 10 * time.Second
)

// Connector opens connections whose sessions have certain settings. Behind a PgBouncer that
// refuses startup parameters it opens them without; the role must then have the settings.
//
// Each connection reads anew what the connection string leaves to files (passfile, sslcert, sslkey,
// sslrootcert, a service), so that rotated credentials need no new Connector.
type Connector struct {
	dsn      string
	settings map[string]string
	refused  atomic.Bool // a pooler refuses the settings; only pools remember it
}

// NewConnector returns a Connector for a connection string. What the string sets itself takes
// precedence over settings. It does not connect. Its error never repeats the string.
func NewConnector(dsn string, settings map[string]string) (*Connector, error) {
	if err := checkDSN(dsn); err != nil {
		return nil, err
	}
	c := &Connector{dsn: dsn, settings: settings}
	_, err := c.config()
	return c, err
}

// Connect opens one connection. edit, if not nil, changes its configuration before.
func (c *Connector) Connect(ctx context.Context, edit func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	if edit != nil {
		edit(config)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if settingsRefused(err) && len(c.settings) > 0 {
		c.strip(config)
		conn, err = pgx.ConnectConfig(ctx, config)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to postgres: %w", ConnectError(err))
	}
	return conn, nil
}

// Pool returns a pool of at most maxConns connections, which it opens when they are needed.
func (c *Connector) Pool(maxConns int) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(c.dsn)
	if err != nil {
		return nil, invalidDSN(err)
	}
	config.MaxConns = int32(maxConns)
	config.PingTimeout = 2 * time.Second
	config.BeforeConnect = func(_ context.Context, config *pgx.ConnConfig) error {
		fresh, err := c.config()
		if err != nil {
			return err
		}
		*config = *fresh
		if c.refused.Load() {
			c.strip(config)
		}
		return nil
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("make connection pool: %w", err)
	}
	return pool, nil
}

// SettingsRefused reports whether a pool's connection failed because a pooler refused the
// settings. The pool does without them from then on, so that trying again helps.
func (c *Connector) SettingsRefused(err error) bool {
	if !settingsRefused(err) {
		return false
	}
	c.refused.Store(true)
	return true
}

func (c *Connector) strip(config *pgx.ConnConfig) {
	maps.DeleteFunc(config.RuntimeParams, func(name, value string) bool {
		set, ok := c.settings[name]
		return ok && set == value
	})
}

// settingsRefused recognizes PgBouncer's refusal, which has no SQLSTATE of its own.
func settingsRefused(err error) bool {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.Contains(refusal.Message, "startup parameter")
}

// Connect opens a session for an administrator's command. It never does without the settings.
func Connect(ctx context.Context, dsn string, settings map[string]string) (*pgx.Conn, error) {
	c, err := NewConnector(dsn, settings)
	if err != nil {
		return nil, err
	}
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to postgres: %w", ConnectError(err))
	}
	return conn, nil
}

// CloseConn closes a connection in good order, even after the context of its use has ended, but
// waits for at most a second.
func CloseConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// Pause waits between half of d and d, so that edges that lost the same server spread out. It
// returns false if ctx ended first.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// config returns the configuration of one connection, from the connection string and the files and
// variables that it depends on as they are now.
func (c *Connector) config() (*pgx.ConnConfig, error) {
	conn, err := parse(c.dsn)
	if err != nil {
		return nil, err
	}
	if conn.ConnectTimeout <= 0 {
		conn.ConnectTimeout = connectTimeout
	}
	conn.DialFunc = dialer(conn.ConnectTimeout).DialContext
	if conn.ValidateConnect == nil && severalHosts(conn.Config) {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	conn.AfterConnect = liftTimeouts(conn.RuntimeParams)
	// pgx queues notifications that are not consumed, and behind a pooler a session may still
	// listen for its previous user.
	conn.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {}
	setDefault(conn.RuntimeParams, "application_name", "hoko-edge")
	setDefault(conn.RuntimeParams, "client_encoding", "UTF8") // what we send, whatever the database's encoding is
	for name, value := range c.settings {
		setDefault(conn.RuntimeParams, name, value)
	}
	return conn, nil
}

// dialer notices a peer that vanished: otherwise a query waits for the kernel's retransmissions,
// a quarter of an hour.
func dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout: timeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable:   true,
			Idle:     PeerTimeout / 2,
			Interval: PeerTimeout / 4,
			Count:    2,
		},
		Control: giveUpUnanswered,
	}
}

// severalHosts distinguishes a list of servers from the two attempts, with and without TLS, at one.
func severalHosts(config pgconn.Config) bool {
	for _, fallback := range config.Fallbacks {
		if fallback.Host != config.Host || fallback.Port != config.Port {
			return true
		}
	}
	return false
}

func setDefault(params map[string]string, name, value string) {
	if _, set := params[name]; !set {
		params[name] = value
	}
}
