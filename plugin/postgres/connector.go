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
	// connectTimeout is the default of connect_timeout in the connection string.
	connectTimeout = 5 * time.Second

	// PeerTimeout is how long a server may leave sent data or keep-alive probes unacknowledged
	// before the kernel closes the connection.
	PeerTimeout = 10 * time.Second
)

// Connector opens connections that set server settings at startup. If a PgBouncer refuses these
// startup parameters, the Connector omits them; then the role must have the settings.
//
// Each new connection reads the files that the connection string names (passfile, sslcert, sslkey,
// sslrootcert, a service file), so that rotated credentials need no new Connector.
type Connector struct {
	dsn      string
	settings map[string]string
	omit     atomic.Bool // pools omit the settings, because a pooler has refused them
}

// NewConnector returns a Connector without connecting. Parameters of the connection string take
// precedence over settings. Errors never contain passwords.
func NewConnector(dsn string, settings map[string]string) (*Connector, error) {
	if err := checkDSN(dsn); err != nil {
		return nil, err
	}
	c := &Connector{dsn: dsn, settings: settings}
	_, err := c.config()
	return c, err
}

// Connect opens one connection. If edit is not nil, it may change the configuration first.
func (c *Connector) Connect(ctx context.Context, edit func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	if edit != nil {
		edit(config)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if refusesSettings(err) && len(c.settings) > 0 {
		c.removeSettings(config)
		conn, err = pgx.ConnectConfig(ctx, config)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to postgres: %w", ConnectError(err))
	}
	return conn, nil
}

// Pool returns a pool that opens at most maxConns connections, when they are needed.
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
		if c.omit.Load() {
			c.removeSettings(config)
		}
		return nil
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("create connection pool: %w", err)
	}
	return pool, nil
}

// SettingsRefused reports whether err means that a pooler refused the settings. If so, pools omit
// them from then on, and the caller should retry.
func (c *Connector) SettingsRefused(err error) bool {
	if !refusesSettings(err) {
		return false
	}
	c.omit.Store(true)
	return true
}

func (c *Connector) removeSettings(config *pgx.ConnConfig) {
	maps.DeleteFunc(config.RuntimeParams, func(name, value string) bool {
		set, ok := c.settings[name]
		return ok && set == value
	})
}

// refusesSettings recognizes PgBouncer's error by its text, because it has no specific SQLSTATE.
func refusesSettings(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.Contains(pgErr.Message, "startup parameter")
}

// Connect opens one connection with the given server settings, which may be nil, for an
// administration command. Unlike [Connector.Connect], it fails if a pooler refuses the settings.
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

// CloseConn closes a connection gracefully, within a second. It needs no context, because the
// caller's has often ended.
func CloseConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// Pause sleeps for a random time between d/2 and d, so that edges do not all retry at the same
// time. It returns false if ctx ended first.
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

// config returns the configuration of one connection. It reads the files and environment variables
// that the connection string depends on.
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
	conn.AfterConnect = disableTimeouts(conn.RuntimeParams)
	// Without a handler, pgx queues notifications, and behind a pooler a session may still listen
	// for its previous user.
	conn.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {}
	setDefault(conn.RuntimeParams, "application_name", "hoko-edge")
	setDefault(conn.RuntimeParams, "client_encoding", "UTF8")
	for name, value := range c.settings {
		setDefault(conn.RuntimeParams, name, value)
	}
	return conn, nil
}

// dialer detects dead peers within PeerTimeout. By default, a query waits for the kernel's
// retransmissions, about 15 minutes.
func dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout: timeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable:   true,
			Idle:     PeerTimeout / 2,
			Interval: PeerTimeout / 4,
			Count:    2,
		},
		Control: setUserTimeout,
	}
}

// severalHosts reports whether the fallbacks name another server. With sslmode=prefer, they also
// contain the same server without TLS.
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
