package postgres

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/tracing"
)

// EndSpan ends the span of a statement, which failed if err is not nil. The zero time means now.
func EndSpan(span tracing.Span, at time.Time, err error) {
	if err == nil || !span.Records() {
		span.End(at, "")
		return
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		span.SetString("db.response.status_code", pgErr.Code)
	}
	span.End(at, ErrorType(err))
}

// ErrorType returns the kind of an error of a statement, without its text: the SQLSTATE, timeout or
// connection.
func ErrorType(err error) string {
	network, isNetwork := errors.AsType[net.Error](err)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	} else if errors.Is(err, context.DeadlineExceeded) || isNetwork && network.Timeout() {
		return "timeout"
	}
	return "connection"
}

// StatementUnusable reports whether err means that a session's prepared statement cannot be used,
// but its text can: a migration has changed the type of a column that it returns, or a pooler has
// switched to a session that has no such statement, or another one of that name. Nothing was
// executed.
func StatementUnusable(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch pgErr.Code {
	case pgerrcode.InvalidSQLStatementName, pgerrcode.DuplicatePreparedStatement:
		return true
	case pgerrcode.FeatureNotSupported: // "cached plan must not change result type", possibly translated
		return pgErr.Routine == "RevalidateCachedQuery"
	}
	return false
}
