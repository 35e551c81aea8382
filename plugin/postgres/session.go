package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// endsSessions are the settings by which a server ends sessions that wait, which is what ours do: the
// listener for notifications, the others for work. Our own timeouts bound the work. Those that end
// only statements (statement_timeout, lock_timeout) stay as the operator has set them, unless the
// connection's settings say otherwise, and so does default_transaction_read_only, by which managed
// databases and failovers fence a server off.
var endsSessions = []string{"idle_session_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"}

// liftTimeouts returns a function that sets a new session's endsSessions to 0, but for those that
// the connection string sets. They cannot be startup parameters: older servers lack some of them, and
// would refuse the connection.
func liftTimeouts(set map[string]string) pgconn.AfterConnectFunc {
	var names []string
	for _, name := range endsSessions {
		if _, own := set[name]; !own {
			names = append(names, name)
		}
	}
	sql := "SELECT set_config(name, '0', false) FROM unnest('{" + strings.Join(names, ",") + "}'::text[]) name " +
		"WHERE current_setting(name, true) <> '0'"
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("lift the session's timeouts: %w", err)
		}
		return nil
	}
}
