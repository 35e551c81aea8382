package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// sessionTimeouts are the settings by which a server ends idle sessions and long transactions. The
// edge's sessions are often idle: the listener waits for notifications, the others for work, which
// the edge's own timeouts bound. Other settings stay as the operator has set them, in particular
// statement_timeout and lock_timeout, which end only statements, and default_transaction_read_only,
// with which managed databases and failovers fence a server off.
var sessionTimeouts = []string{
	"idle_session_timeout", "idle_in_transaction_session_timeout", "transaction_timeout",
}

// disableTimeouts returns a function that sets a new session's sessionTimeouts to 0, except those
// in params, which the connection string sets. They cannot be startup parameters, because a server
// that does not know one of them would refuse the connection.
func disableTimeouts(params map[string]string) pgconn.AfterConnectFunc {
	var names []string
	for _, name := range sessionTimeouts {
		if _, set := params[name]; !set {
			names = append(names, name)
		}
	}
	sql := "SELECT set_config(name, '0', false) FROM unnest('{" + strings.Join(names, ",") + "}'::text[]) name " +
		"WHERE current_setting(name, true) <> '0'"
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("disable the session's timeouts: %w", err)
		}
		return nil
	}
}
