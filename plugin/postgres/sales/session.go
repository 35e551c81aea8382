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
	"sync/atomic"
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

// saleStrictSQL fails with the database's reason if a customer cannot be created, for example the
// constraint of a site.
var saleStrictSQL = strings.Replace(saleWaitingSQL, "ON CONFLICT DO NOTHING", "", 1)

// saleWaitingSQL is for the slow lane: it waits for locked customers instead of skipping them.
var saleWaitingSQL = strings.Replace(saleSQL, "FOR NO KEY UPDATE SKIP LOCKED", "FOR NO KEY UPDATE", 1)

// awaitStandbysSQL writes to the WAL if synchronous replication is on: its commit then waits until
// the standbys have everything committed before. The commit of a SELECT does not wait.
const awaitStandbysSQL = "SELECT pg_logical_emit_message(true, 'hoko', '') " +
	"WHERE current_setting('synchronous_standby_names') <> ''"

const (
	batchStatement = "hoko_sale"
	// setupTimeout bounds the setup of a new connection before its first batch.
	setupTimeout = 5 * time.Second
	// answerMargin is how long after its statement_timeout the answer to a statement may arrive.
	answerMargin = 250 * time.Millisecond
	minPause     = 50 * time.Millisecond
	maxPause     = time.Second
)

// errStandbyWaitCanceled means that the sales are committed, but perhaps not on the standbys. They
// are sent again, and that statement waits for the standbys.
var errStandbyWaitCanceled = errors.New("the wait for the standbys was canceled")

// session is a connection with prepared statements. It reconnects if the connection is lost, and
// has one user at a time.
type session struct {
	*shared
	connector           *postgres.Connector
	sql                 string
	conn                *pgx.Conn
	statement           *pgconn.StatementDescription
	single              *pgconn.StatementDescription // nil in the slow lane
	conns               *atomic.Int64                // counts open connections; may be nil
	failures            int                          // failed attempts to connect since the last success
	standbyWaitCanceled bool                         // another session has canceled a wait for the standbys

	statementTimeout time.Duration // the shorter of the setting in force and statementTimeoutOf
	lockTimeout      time.Duration // the setting in force
}

func newSession(s *shared, connector *postgres.Connector, sql string) *session {
	return &session{shared: s, connector: connector, sql: sql}
}

func (s *session) connected() bool { return s.conn != nil && !s.conn.IsClosed() }

// ready connects if there is no live connection. It returns ctx's error, or why it cannot connect.
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
		s.failedAt.Store(new(time.Now()))
		if due(&s.notices.trouble) {
			s.options.Logger.Error("no database to record sales", slog.Any("error", err))
		}
		return err
	}
	s.failures = 0
	s.failedAt.Store(nil)
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
	s.countConn(1)
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	return s.prepareUnblocked(ctx)
}

// notice detects a pg_cancel_backend during a commit's wait for the standbys: the statement
// succeeds with only a warning, whose text depends on the server's language.
func (s *session) notice(_ *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == "SyncRepWaitForLSN" {
		s.standbyWaitCanceled = true
	}
}

// checkStandbyWait turns a success that the standbys may not have into an unknown outcome.
func (s *session) checkStandbyWait(err error) error {
	if err == nil && s.standbyWaitCanceled {
		err = errStandbyWaitCanceled
	}
	s.standbyWaitCanceled = false
	return err
}

func (s *session) pause(ctx context.Context) {
	postgres.Pause(ctx, min(minPause<<min(s.failures, 10), maxPause))
}

// bounded returns the context of a statement that starts now. When it ends, the statement is
// abandoned: by then its statement_timeout must have fired and the answer must have arrived. As
// that timeout does not fire during a commit, the context also lasts twice the likely maximum.
func (s *session) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	own := statementTimeoutOf(s.options)
	wait := min(max(s.statementTimeout, 2*s.times.likelyMax(time.Now())), own)
	return context.WithTimeout(ctx, wait+min(answerMargin, own/5))
}

func (s *session) waitsBriefly() bool { return s.lockTimeout > 0 && s.lockTimeout <= maxLockTimeout }

// execute runs the statement and scans its rows, which count only if it returns nil, as the commit
// comes after them. A lockTimeout other than the session's is set in the same implicit transaction,
// so that it also holds behind a pooler. If strict, it runs saleStrictSQL.
func (s *session) execute(ctx context.Context, b *batch, lockTimeout time.Duration, strict bool) error {
	if lockTimeout == s.lockTimeout && !strict {
		rows := s.conn.PgConn().ExecStatement(ctx, s.statement, b.params[:], paramFormats, columnFormats)
		return s.checkStandbyWait(b.scan(rows))
	}
	var both pgconn.Batch
	both.ExecParams(setLockTimeoutSQL, [][]byte{milliseconds(lockTimeout)}, nil, nil, nil)
	if strict {
		both.ExecParams(saleStrictSQL, b.params[:], nil, paramFormats, columnFormats)
	} else {
		both.ExecStatement(s.statement, b.params[:], paramFormats, columnFormats)
	}
	results := s.conn.PgConn().ExecBatch(ctx, &both)
	// Close returns the errors of the parts, too.
	if results.NextResult() {
		_, _ = results.ResultReader().Close()
	}
	if results.NextResult() {
		_ = b.scan(results.ResultReader())
	}
	return s.checkStandbyWait(sent(results.Close()))
}

const setLockTimeoutSQL = "SELECT set_config('lock_timeout', $1, true)"

// milliseconds returns d as the text of a setting, at least 1: 0 would mean forever.
func milliseconds(d time.Duration) []byte {
	return strconv.AppendInt(nil, max(d.Milliseconds(), 1), 10)
}

// sent turns an error that pgx calls safe to retry into an unknown outcome: if a batch's connection
// is lost before its answer, pgx only reports that the connection is closed.
func sent(err error) error {
	if pgconn.SafeToRetry(err) {
		return fmt.Errorf("a connection was lost during a statement: %v", err) // %w would keep it safe to retry
	}
	return err
}

// awaitStandbys returns once the synchronous standbys, if any, have all that is visible here.
func (s *session) awaitStandbys(ctx context.Context) error {
	return s.checkStandbyWait(s.conn.PgConn().ExecParams(ctx, awaitStandbysSQL, nil, nil, nil, nil).Read().Err)
}

// sourceSQL returns whether the database has anything that can attribute a sale.
const sourceSQL = "SELECT EXISTS (SELECT FROM hoko.links) " +
	"AND (EXISTS (SELECT FROM hoko.clicks) OR EXISTS (SELECT FROM hoko.leads))"

const (
	sourceUnknown int32 = iota
	sourceMissing
	sourceFound // final, so that sourceSQL runs no more
)

// sourceTimeout bounds sourceSQL, which may take any time over a large view, because the session's
// next batch waits for it.
const sourceTimeout = 200 * time.Millisecond

// attributed notes that something can attribute a sale.
func (s *session) attributed() {
	if s.source.Load() != sourceFound {
		s.source.Store(sourceFound)
	}
}

// unattributed returns the error of a sale that nothing attributes: ErrNoSource if nothing could
// attribute any.
func (s *session) unattributed() error {
	if s.source.Load() != sourceFound && due(&s.notices.source) {
		ctx, cancel := context.WithTimeout(s.ctx, sourceTimeout)
		defer cancel()
		found := true // also if the query fails
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

func (s *session) drop() {
	if s.conn == nil {
		return
	}
	postgres.CloseConn(s.conn)
	s.countConn(-1)
	s.conn, s.statement, s.single = nil, nil, nil
}

func (s *session) countConn(change int64) {
	if s.conns != nil {
		s.conns.Add(change)
	}
}

// isLive reports whether an unused connection is still open at the other end. It sends nothing: a
// statement on a dead connection has an unknown outcome, whereas a sale that waits for a new
// connection is certainly not recorded.
func isLive(conn *pgconn.PgConn) bool {
	if nothingToRead(conn.Conn()) {
		return true
	}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		message, err := conn.ReceiveMessage(ctx)
		cancel()
		if err != nil {
			return pgconn.Timeout(err) // nothing to read, except records that TLS handles itself
		}
		if _, ended := message.(*pgproto3.ErrorResponse); ended {
			return false
		}
	}
}

// nothingToRead reports whether the connection is open and has no bytes to read.
func nothingToRead(conn net.Conn) (nothing bool) {
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
	// Read would wait for a background reader that pgx may have left; Control does not.
	err = raw.Control(func(fd uintptr) {
		var peeked [1]byte
		_, _, err := syscall.Recvfrom(int(fd), peeked[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		nothing = err == syscall.EAGAIN
	})
	return nothing && err == nil
}
