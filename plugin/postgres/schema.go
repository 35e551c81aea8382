package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// RequiredVersion is the oldest version of the schema hoko with which an edge records sales and
// looks up keys. A migration raises it only if their statements use what the migration adds.
const RequiredVersion int32 = 2

// ErrSchema means that the schema hoko is missing, or older than [RequiredVersion]. Its text names
// the command that fixes it.
var ErrSchema = errors.New("the database lacks the schema that this edge needs (run: caddy hoko migrate)")

// Querier is implemented by *pgx.Conn, *pgxpool.Pool and pgx.Tx.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// warnedVersion is the schema version that was logged last, by any connection of the process.
var warnedVersion atomic.Int32

// CheckSchema returns an error that wraps [ErrSchema] if the schema is missing or older than
// [RequiredVersion]. Other versions than that of this binary work. They are logged once per process
// to logger, which may be nil. Newer ones work because migrations only expand the schema.
func CheckSchema(ctx context.Context, q Querier, logger *slog.Logger) error {
	current, err := schemaVersion(ctx, q)
	if err != nil {
		return err
	}
	if current < RequiredVersion {
		return fmt.Errorf("%w: version %d, needed %d", ErrSchema, current, RequiredVersion)
	}
	latest := LatestVersion()
	if current == latest || warnedVersion.Swap(current) == current {
		return nil
	}
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	if current > latest {
		warnNewerSchema(logger, current, latest)
	} else {
		logger.Warn("the database schema is older than this edge; sales and keys work (run: caddy hoko migrate)",
			slog.Int("schema", int(current)), slog.Int("edge", int(latest)))
	}
	return nil
}

func warnNewerSchema(logger *slog.Logger, current, latest int32) {
	logger.Warn("the database schema is newer than this edge",
		slog.Int("schema", int(current)), slog.Int("edge", int(latest)))
}

// schemaVersion returns 0 if the schema was never migrated.
func schemaVersion(ctx context.Context, q Querier) (version int32, err error) {
	err = q.QueryRow(ctx, "SELECT version FROM "+versionTable).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) || lacksSchema(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", versionTable, err)
	}
	return version, nil
}

// SchemaError wraps err in [ErrSchema] if a missing or older schema may be its cause. It returns
// other errors unchanged.
func SchemaError(err error) error {
	if !lacksSchema(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSchema, err)
}

func lacksSchema(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch pgErr.Code {
	case pgerrcode.InvalidSchemaName, pgerrcode.UndefinedTable, pgerrcode.UndefinedColumn:
		return true
	}
	return false
}

// OwnerError adds a fix to an insufficient_privilege error of an administration command: connect as
// the owner. It returns other errors unchanged.
func OwnerError(err error) error {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pgErr.Code != pgerrcode.InsufficientPrivilege {
		return err
	}
	return fmt.Errorf("%w: give --database-url the connection string of the owner of the schema hoko, "+
		"or of the database if it has no such schema", err)
}
