package postgres

import (
	"errors"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"
)

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
