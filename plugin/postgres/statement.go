package postgres

import (
	"errors"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"
)

// StatementUnusable reports whether err says that a session's prepared statement cannot be used, though
// its text can: a migration has changed a column that it returns, or a pooler has handed out another
// session, which knows nothing or something else by that name. Nothing was executed.
func StatementUnusable(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch refused.Code {
	case pgerrcode.InvalidSQLStatementName, pgerrcode.DuplicatePreparedStatement:
		return true
	case pgerrcode.FeatureNotSupported: // "cached plan must not change result type", in the server's language
		return refused.Routine == "RevalidateCachedQuery"
	}
	return false
}
