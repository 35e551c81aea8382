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

// ErrSchema means that the database does not have the schema that this edge needs. Its text names
// the command that fixes it.
var ErrSchema = errors.New("the database does not have the schema of this edge (run: caddy hoko migrate)")

// Querier is a connection, a pool or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// newerSchema is the newer version that was warned of, so that one warning
// suffices however many stores and connections look.
var newerSchema atomic.Int32

// CheckSchema returns an ErrSchema if the schema is missing or older than this binary needs. A newer
// one is fine, as migrations only add; that is logged once. The logger may be nil.
func CheckSchema(ctx context.Context, q Querier, logger *slog.Logger) error {
	current, err := schemaVersion(ctx, q)
	if err != nil {
		return err
	}
	latest := latestVersion()
	if current < latest {
		return fmt.Errorf("%w: version %d, needed %d", ErrSchema, current, latest)
	}
	if current > latest && newerSchema.Swap(current) != current {
		warnNewerSchema(cmp.Or(logger, slog.New(slog.DiscardHandler)), current, latest)
	}
	return nil
}

func warnNewerSchema(logger *slog.Logger, current, latest int32) {
	logger.Warn("the database's schema is newer than this edge",
		slog.Int("schema", int(current)), slog.Int("edge", int(latest)))
}

// schemaVersion is 0 where nothing was ever migrated.
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

// SchemaError makes an ErrSchema of an error that a missing or older schema
// explains, and leaves any other as it is.
func SchemaError(err error) error {
	if !lacksSchema(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSchema, err)
}

func lacksSchema(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch refused.Code {
	case pgerrcode.InvalidSchemaName, pgerrcode.UndefinedTable, pgerrcode.UndefinedColumn:
		return true
	}
	return false
}

// OwnerError adds to an error about missing rights whose rights an administrator's command needs.
func OwnerError(err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || refused.Code != pgerrcode.InsufficientPrivilege {
		return err
	}
	return fmt.Errorf("%w: give --database-url the connection string of the owner of the schema hoko, "+
		"or of the database if it has no such schema", err)
}
