package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// connectTimeout bounds one attempt to connect, where the connection string
// sets no connect_timeout.
const connectTimeout = 5 * time.Second

// unansweredAfter is how long a peer may leave sent data unacknowledged, or be
// silent on an idle connection, before the kernel gives the connection up.
const unansweredAfter = 10 * time.Second

// poolConfig is the configuration of a connection, or a pool of them. What the
// connection string sets itself has precedence over settings.
func poolConfig(dsn string, settings map[string]string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, invalidDSN(err)
	}
	conn := config.ConnConfig
	if conn.ConnectTimeout <= 0 {
		conn.ConnectTimeout = connectTimeout
	}
	conn.DialFunc = dialer(conn.ConnectTimeout).DialContext
	if conn.ValidateConnect == nil && severalHosts(conn.Config) {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	// pgx keeps what nobody waits for: behind a pooler a session may listen that was another's.
	conn.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {}
	setDefault(conn.RuntimeParams, "application_name", "hoko-edge")
	setDefault(conn.RuntimeParams, "client_encoding", "UTF8") // what we send, whatever the database keeps
	for name, value := range settings {
		setDefault(conn.RuntimeParams, name, value)
	}
	config.PingTimeout = 2 * time.Second
	return config, nil
}

// dialer notices a peer that vanished: without it a query waits for the
// kernel's retransmissions, a quarter of an hour.
func dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout: timeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable:   true,
			Idle:     unansweredAfter / 2,
			Interval: unansweredAfter / 4,
			Count:    2,
		},
		Control: giveUpUnanswered,
	}
}

// severalHosts tells a list of servers from the two attempts, with and without
// TLS, at one.
func severalHosts(config pgconn.Config) bool {
	for _, fallback := range config.Fallbacks {
		if fallback.Host != config.Host || fallback.Port != config.Port {
			return true
		}
	}
	return false
}

// invalidDSN says what is wrong with a connection string without a word of it:
// in a malformed one nobody can tell where the password ends.
func invalidDSN(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("connection string names a file: %w", file)
	}
	return errors.New("connection string cannot be parsed: it must be postgres://user:password@host:5432/database " +
		"or key=value pairs, and in the former a password's special characters must be percent-encoded")
}

func setDefault(params map[string]string, name, value string) {
	if _, set := params[name]; !set {
		params[name] = value
	}
}
