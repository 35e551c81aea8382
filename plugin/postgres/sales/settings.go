package sales

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"hoko.to/edge/plugin/postgres"
)

// sessionSettings are those of the sessions; behind a PgBouncer that refuses them
// they must be set with ALTER ROLE.
func sessionSettings(statementTimeout time.Duration) map[string]string {
	return map[string]string{
		// Planning the statement costs more than running it,
		"plan_cache_mode": "force_generic_plan",
		// and the plan of an empty database must serve one that has grown since: neither a whole table nor all leads
		// of a customer may be read for the latest.
		"enable_seqscan":    "off",
		"enable_bitmapscan": "off",
		"jit":               "off",
		// What can be waited for is another session's open INSERT of the same customer.
		"lock_timeout":                  strconv.FormatInt(minLockTimeout.Milliseconds(), 10),
		"default_transaction_isolation": "read committed",
		// A cancelled wait for the standbys is no more than a warning.
		"client_min_messages": "warning",
		"statement_timeout":   strconv.FormatInt(max(statementTimeout.Milliseconds(), 1), 10),
		"tcp_user_timeout":    strconv.FormatInt(postgres.UnansweredAfter.Milliseconds(), 10),
	}
}

const settingsHoldSQL = `SELECT current_setting('plan_cache_mode') = 'force_generic_plan'
	AND current_setting('enable_seqscan') = 'off' AND current_setting('enable_bitmapscan') = 'off' AND current_setting('jit') = 'off'
	AND current_setting('default_transaction_isolation') = 'read committed'
	AND current_setting('lock_timeout') <> '0' AND current_setting('statement_timeout') <> '0'
	AND current_setting('client_min_messages') <> 'error',
	current_setting('synchronous_commit') = 'off' OR current_setting('synchronous_commit') = 'local' AND current_setting('synchronous_standby_names') <> '',
	(extract(epoch FROM current_setting('statement_timeout')::interval) * 1000)::bigint,
	(extract(epoch FROM current_setting('lock_timeout')::interval) * 1000)::bigint`

const settingsAdvice = "ALTER ROLE … SET plan_cache_mode = force_generic_plan, and likewise enable_seqscan = off, enable_bitmapscan = off, jit = off, " +
	"lock_timeout = '50ms', statement_timeout = '5s', default_transaction_isolation = 'read committed', client_min_messages = warning"

// checkSettings warns where a pooler in between has kept the settings to itself,
// and where the operator has commits answered before they are safe.
func (s *session) checkSettings(ctx context.Context) error {
	var hold, hasty bool
	var statementTimeout, lockTimeout int64
	if err := s.conn.QueryRow(ctx, settingsHoldSQL).Scan(&hold, &hasty, &statementTimeout, &lockTimeout); err != nil {
		return fmt.Errorf("read the session's settings: %w", err)
	}
	s.lockTimeout = time.Duration(lockTimeout) * time.Millisecond
	s.statementTimeout = statementTimeoutOf(s.options)
	if inForce := time.Duration(statementTimeout) * time.Millisecond; inForce > 0 {
		s.statementTimeout = min(s.statementTimeout, inForce)
	}
	if !hold && due(&s.notices.unset) {
		s.options.Logger.Warn("the database sessions lack settings that recording sales relies on",
			slog.String("remedy", settingsAdvice))
	}
	if hasty && due(&s.notices.hasty) {
		s.options.Logger.Warn("sales are answered before they are safe: synchronous_commit is off or local",
			slog.String("remedy", "ALTER ROLE … SET synchronous_commit = on"))
	}
	return nil
}
