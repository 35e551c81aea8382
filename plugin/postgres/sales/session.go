package sales

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/postgres"
)

//go:embed query/sale.sql
var saleSQL string

// saleWaitingSQL is for the slow lane: it waits where saleSQL skips a locked customer.
var saleWaitingSQL = strings.Replace(saleSQL, "FOR NO KEY UPDATE SKIP LOCKED", "FOR NO KEY UPDATE", 1)

// awaitStandbysSQL writes where synchronous replication is on: its commit then
// waits for the standbys to have all that was committed before, which a SELECT
// of it does not.
const awaitStandbysSQL = "SELECT pg_logical_emit_message(true, 'hoko', '') WHERE current_setting('synchronous_standby_names') <> ''"

const (
	batchStatement = "hoko_sale"
	// setupTimeout bounds what a new connection is asked before its first batch.
	setupTimeout = 5 * time.Second
	// roundTrip is how long after its statement_timeout the answer of a statement must have come.
	roundTrip = 250 * time.Millisecond
	minPause  = 50 * time.Millisecond
	maxPause  = time.Second
)

// errUnawaited: the sales are committed, but perhaps not on the standbys. The
// next batch finds them, and waits.
var errUnawaited = errors.New("the wait for the standbys was cancelled")

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

// session is a connection with the statement prepared, made anew when it is
// lost. It has one user at a time.
type session struct {
	*shared
	connector *postgres.Connector
	sql       string
	conn      *pgx.Conn
	statement *pgconn.StatementDescription
	single    *pgconn.StatementDescription // of a session that does not wait for locks
	failures  int                          // attempts to connect since the last that succeeded
	unawaited bool                         // somebody has cancelled a wait for the standbys

	statementTimeout time.Duration // the shorter one of the session's own and ours
	lockTimeout      time.Duration // the session's own
}

func newSession(s *shared, connector *postgres.Connector, sql string) *session {
	return &session{shared: s, connector: connector, sql: sql}
}

func (s *session) connected() bool { return s.conn != nil && !s.conn.IsClosed() }

// ready connects where there is no connection, or a dead one.
func (s *session) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.connected() && isLive(s.conn.PgConn()) {
		return nil
	}
	s.drop()
	if err := s.connect(ctx); err != nil {
		s.drop()
		if blocked(err) {
			return err
		}
		s.failures++
		if due(&s.notices.trouble) {
			s.options.Logger.Error("no database to record sales", slog.Any("error", err))
		}
		return err
	}
	s.failures = 0
	return nil
}

func (s *session) connect(ctx context.Context) (err error) {
	s.conn, err = s.connector.Connect(ctx, func(config *pgx.ConnConfig) {
		if config.ValidateConnect == nil {
			config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite // a standby records nothing
		}
		config.OnNotice = s.notice
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	return s.prepareUnblocked(ctx)
}

// prepareUnblocked tries again while a lock on a table keeps the session from being prepared.
func (s *session) prepareUnblocked(ctx context.Context) error {
	var last error
	for {
		err := s.prepare(ctx)
		switch {
		case blocked(err):
			last = err
			if due(&s.notices.locked) {
				s.options.Logger.Warn("a lock on a table keeps sales from being recorded", slog.Any("error", err))
			}
		case last == nil || ctx.Err() == nil:
			return err
		}
		if !postgres.Pause(ctx, minPause) {
			return last
		}
	}
}

// blocked reports whether a lock on one of the tables, or a statement_timeout while waiting for it, kept a session from
// being prepared. That needs no other connection, but time.
func blocked(err error) bool {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (refusal.Code == pgerrcode.LockNotAvailable || refusal.Code == pgerrcode.QueryCanceled)
}

// prepare asks a new connection what must be known of it, and has it prepare the statements.
func (s *session) prepare(ctx context.Context) (err error) {
	if err := postgres.CheckSchema(ctx, s.conn, s.options.Logger); err != nil {
		return err
	}
	if err := s.checkSettings(ctx); err != nil {
		return err
	}
	if s.statement == nil {
		s.statement, err = s.conn.PgConn().Prepare(ctx, batchStatement, s.sql, nil)
	}
	if err != nil {
		return fmt.Errorf("prepare the sale statement: %w", postgres.SchemaError(err))
	}
	if err := checkColumns(s.statement.Fields); err != nil || s.sql != saleSQL {
		return err
	}
	return s.prepareSingle(ctx)
}

// notice hears of a pg_cancel_backend while a commit waits for the standbys: the
// statement succeeds with no more than a warning, whose words depend on the
// server's language.
func (s *session) notice(_ *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == "SyncRepWaitForLSN" {
		s.unawaited = true
	}
}

// awaited makes an unknown outcome of a success that the standbys may not have.
func (s *session) awaited(err error) error {
	if err == nil && s.unawaited {
		err = errUnawaited
	}
	s.unawaited = false
	return err
}

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

// pause waits after a failure to connect, longer each time.
func (s *session) pause(ctx context.Context) {
	postgres.Pause(ctx, min(minPause<<min(s.failures, 10), maxPause))
}

// bounded returns the context of a statement that starts now. At its end the statement is abandoned: its own
// statement_timeout must have fired, and the answer must have arrived. A commit, during which that does not fire, has
// as long as commits have taken lately.
func (s *session) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	own := statementTimeoutOf(s.options)
	wait := min(max(s.statementTimeout, 2*s.times.most(time.Now())), own)
	return context.WithTimeout(ctx, wait+min(roundTrip, own/5))
}

// waitsBriefly reports whether the session's own lock_timeout bounds a statement that sets none.
func (s *session) waitsBriefly() bool { return s.lockTimeout > 0 && s.lockTimeout <= maxLockTimeout }

// execute runs the statement and scans its rows. They count only if it returns
// nil: the commit comes after them. A lockTimeout that is not the session's own is
// set in the same implicit transaction, so that it also holds behind a pooler.
func (s *session) execute(ctx context.Context, b *batch, lockTimeout time.Duration) error {
	if lockTimeout == s.lockTimeout {
		return s.awaited(b.scan(s.conn.PgConn().ExecStatement(ctx, s.statement, b.params[:], paramFormats, columnFormats)))
	}
	var both pgconn.Batch
	timeout := strconv.AppendInt(nil, max(lockTimeout.Milliseconds(), 1), 10) // 0 would mean forever
	both.ExecParams("SELECT set_config('lock_timeout', $1, true)", [][]byte{timeout}, nil, nil, nil)
	both.ExecStatement(s.statement, b.params[:], paramFormats, columnFormats)
	results := s.conn.PgConn().ExecBatch(ctx, &both)
	// Errors of the parts are also the error of the whole.
	if results.NextResult() {
		_, _ = results.ResultReader().Close()
	}
	if results.NextResult() {
		_ = b.scan(results.ResultReader())
	}
	return s.awaited(sent(results.Close()))
}

// sent makes an unknown outcome of what pgx calls safe to retry: of a batch whose
// connection is lost before its answer it only says that the connection is closed.
func sent(err error) error {
	if pgconn.SafeToRetry(err) {
		return fmt.Errorf("a connection was lost with statements on it: %v", err) // not %w, or it were still safe
	}
	return err
}

// awaitStandbys returns once the synchronous standbys, if there are any, have
// all that is visible here.
func (s *session) awaitStandbys(ctx context.Context) error {
	return s.awaited(s.conn.PgConn().ExecParams(ctx, awaitStandbysSQL, nil, nil, nil, nil).Read().Err)
}

// drop gives the connection up.
func (s *session) drop() {
	if s.conn == nil {
		return
	}
	postgres.CloseConn(s.conn)
	s.conn, s.statement, s.single = nil, nil, nil
}
