package sales

import (
	"context"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/sale"
)

//go:embed query
var queries embed.FS

var saleSQL = postgres.ReadQuery(queries, "query/sale.sql")

// saleStrictSQL says why a customer is not created, where that is not because another session has just created it.
var saleStrictSQL = strings.Replace(saleWaitingSQL, "ON CONFLICT DO NOTHING", "", 1)

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
// set in the same implicit transaction, so that it also holds behind a pooler. A strict one runs saleStrictSQL.
func (s *session) execute(ctx context.Context, b *batch, lockTimeout time.Duration, strict bool) error {
	if lockTimeout == s.lockTimeout && !strict {
		return s.awaited(b.scan(s.conn.PgConn().ExecStatement(ctx, s.statement, b.params[:], paramFormats, columnFormats)))
	}
	var both pgconn.Batch
	both.ExecParams(setLockTimeoutSQL, [][]byte{milliseconds(lockTimeout)}, nil, nil, nil)
	if strict {
		both.ExecParams(saleStrictSQL, b.params[:], nil, paramFormats, columnFormats)
	} else {
		both.ExecStatement(s.statement, b.params[:], paramFormats, columnFormats)
	}
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

// setLockTimeoutSQL sets it until the end of the transaction, and so behind a pooler, too.
const setLockTimeoutSQL = "SELECT set_config('lock_timeout', $1, true)"

// milliseconds returns a setting's text. 0 would mean forever.
func milliseconds(d time.Duration) []byte {
	return strconv.AppendInt(nil, max(d.Milliseconds(), 1), 10)
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

// sourceSQL asks whether there is anything that can earn a sale.
const sourceSQL = "SELECT EXISTS (SELECT FROM hoko.links) AND (EXISTS (SELECT FROM hoko.clicks) OR EXISTS (SELECT FROM hoko.leads))"

const (
	sourceUnknown int32 = iota
	sourceMissing
	sourceFound // once, which is for good: it costs a store one question at most
)

// sourcePatience bounds the question, as the session's next batch waits for it: over a large view
// it may take any time.
const sourcePatience = 200 * time.Millisecond

// attributed notes that something can earn a sale.
func (s *session) attributed() {
	if s.source.Load() != sourceFound {
		s.source.Store(sourceFound)
	}
}

// unattributed returns the error of a sale that nothing attributes: ErrNoSource if nothing could
// attribute any.
func (s *session) unattributed() error {
	if s.source.Load() != sourceFound && due(&s.notices.source) {
		ctx, cancel := context.WithTimeout(s.ctx, sourcePatience)
		defer cancel()
		found := true // a question that fails is not asked again
		_ = s.conn.QueryRow(ctx, sourceSQL).Scan(&found)
		if found {
			s.source.Store(sourceFound)
		} else {
			s.source.Store(sourceMissing)
		}
	}
	if s.source.Load() == sourceMissing {
		return sale.ErrNoSource
	}
	return sale.ErrUnattributed
}

// drop gives the connection up.
func (s *session) drop() {
	if s.conn == nil {
		return
	}
	postgres.CloseConn(s.conn)
	s.conn, s.statement, s.single = nil, nil, nil
}

// isLive tells whether the other end has closed an unused connection, or said
// that it will, without sending anything: what is sent to a dead one has an
// unknown outcome, what waits for a new one is known not to be recorded.
func isLive(conn *pgconn.PgConn) bool {
	if silent(conn.Conn()) {
		return true
	}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		message, err := conn.ReceiveMessage(ctx)
		cancel()
		if err != nil {
			return pgconn.Timeout(err) // nothing to read, but for what TLS keeps to itself
		}
		if _, farewell := message.(*pgproto3.ErrorResponse); farewell {
			return false
		}
	}
}

// silent is true where the connection is open and there is nothing to read.
func silent(conn net.Conn) (nothing bool) {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	// Control and not Read, which would wait for a reader that pgx may have left in the background.
	err = raw.Control(func(fd uintptr) {
		var peeked [1]byte
		_, _, err := syscall.Recvfrom(int(fd), peeked[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		nothing = err == syscall.EAGAIN
	})
	return nothing && err == nil
}
