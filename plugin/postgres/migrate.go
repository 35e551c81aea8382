package postgres

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/tern/v2/migrate"
)

const versionTable = "hoko.schema_version"

// migrateLock serialises migrations from before the schema exists: of two
// concurrent CREATE SCHEMA IF NOT EXISTS, one can fail.
const migrateLock int64 = 0x686f6b6f // "hoko"

//go:embed migrations/*.sql
var migrationFiles embed.FS

// lockTimeout bounds a migration's wait for a lock. What comes behind it waits as long: an ALTER TABLE
// that waits for a dump would keep all sales from the table. It is tried again until it gets its locks.
const (
	lockTimeout    = 200 * time.Millisecond
	firstLockPause = 500 * time.Millisecond
	lastLockPause  = 10 * time.Second
)

// Migrate brings the schema hoko up to the version of this binary. It may run while edges do, and
// several times at once: the others wait. A newer schema is left as it is, with a warning. Each
// migration is a transaction, the first one with the schema itself, so an error leaves the version
// before, or nothing.
//
// It needs a session of its own: with a PgBouncer in transaction mode in between, give it the address
// of the database itself.
func Migrate(ctx context.Context, dsn string, logger *slog.Logger) error {
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	// The role may have the timeouts of the edge's sessions.
	conn, err := Connect(ctx, dsn, map[string]string{
		"lock_timeout":      strconv.FormatInt(lockTimeout.Milliseconds(), 10),
		"statement_timeout": "0",
	})
	if err != nil {
		return err
	}
	defer CloseConn(conn) // ends the session, and with it the lock

	if err := lockMigrations(ctx, conn, logger); err != nil {
		return err
	}
	current, err := schemaVersion(ctx, conn)
	if err != nil {
		return err
	}
	latest := latestVersion()
	if current > latest {
		warnNewerSchema(logger, current, latest)
	}
	for version := current + 1; version <= latest; version++ {
		if err := migrateUnblocked(ctx, conn, version, logger); err != nil {
			return fmt.Errorf("migrate to version %d: %w", version, err)
		}
	}
	return nil
}

// MigrationStatus is the version of the schema in the database, 0 where there
// is none, and the one that this binary migrates to. It changes nothing.
func MigrationStatus(ctx context.Context, dsn string) (current, latest int32, err error) {
	conn, err := Connect(ctx, dsn, nil)
	if err != nil {
		return 0, 0, err
	}
	defer CloseConn(conn)
	current, err = schemaVersion(ctx, conn)
	return current, latestVersion(), err
}

func lockMigrations(ctx context.Context, conn *pgx.Conn, logger *slog.Logger) error {
	var locked bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", migrateLock).Scan(&locked); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	if locked {
		return nil
	}
	logger.Info("waiting for another migration to end")
	if _, err := conn.Exec(ctx, "SELECT set_config('lock_timeout', '0', true), pg_advisory_lock($1)", migrateLock); err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	return nil
}

// migrateUnblocked tries until no other session's lock is in the way, or ctx ends.
func migrateUnblocked(ctx context.Context, conn *pgx.Conn, version int32, logger *slog.Logger) error {
	logger.Info("migrating", slog.Int("version", int(version)), slog.String("name", migrations()[version-1]))
	for pause := firstLockPause; ; pause = min(2*pause, lastLockPause) {
		err := pgx.BeginFunc(ctx, conn, func(pgx.Tx) error { return migrateTo(ctx, conn, version) })
		if refusal, ok := errors.AsType[*pgconn.PgError](err); !ok || refusal.Code != pgerrcode.LockNotAvailable {
			return err
		}
		logger.Warn("another session holds a lock that a migration needs: trying again, so that nothing waits behind it",
			slog.Int("version", int(version)), slog.Any("error", err))
		if !Pause(ctx, pause) {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// migrateTo runs one migration in the open transaction.
func migrateTo(ctx context.Context, conn *pgx.Conn, version int32) error {
	if err := createVersionTable(ctx, conn); err != nil {
		return err
	}
	migrator, err := migrate.NewMigratorEx(ctx, conn, versionTable, &migrate.MigratorOptions{DisableTx: true})
	if err != nil {
		return fmt.Errorf("look for %s: %w", versionTable, err)
	}
	for i, name := range migrations() {
		sql := ReadQuery(migrationFiles, "migrations/"+name)
		migrator.Migrations = append(migrator.Migrations, &migrate.Migration{
			Sequence: int32(i + 1),
			Name:     name,
			// Not as UpSQL, which tern takes apart if the transaction is not its own.
			UpFunc: func(ctx context.Context, conn *pgx.Conn) error {
				if _, err := conn.Exec(ctx, sql); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				return nil
			},
		})
	}
	return migrator.MigrateTo(ctx, version)
}

// createVersionTable makes tern's table where it is missing, with a primary key: without one, Postgres
// refuses the UPDATE of the version if a publication is for all tables. Earlier versions made it
// without. It asks first: CREATE SCHEMA IF NOT EXISTS requires the right to create schemas also where
// the schema exists.
func createVersionTable(ctx context.Context, conn *pgx.Conn) error {
	var schema, table, key bool
	const question = `SELECT to_regnamespace('hoko') IS NOT NULL, to_regclass('` + versionTable + `') IS NOT NULL,
		EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass('` + versionTable + `') AND indisprimary)`
	if err := conn.QueryRow(ctx, question).Scan(&schema, &table, &key); err != nil {
		return fmt.Errorf("look for %s: %w", versionTable, err)
	}
	sql := "INSERT INTO " + versionTable + " SELECT 0 WHERE NOT EXISTS (SELECT FROM " + versionTable + ")"
	switch {
	case !table:
		sql = "CREATE TABLE " + versionTable + " (version int4 PRIMARY KEY);" + sql
	case !key:
		sql = "ALTER TABLE " + versionTable + " ADD PRIMARY KEY (version);" + sql
	}
	if !schema {
		sql = "CREATE SCHEMA hoko;" + sql
	}
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("create %s: %w", versionTable, err)
	}
	return nil
}

// migrations returns the names of the migrations' files in their order. Their number is the schema that
// this binary was made for: tern numbers them from 1 without a gap.
func migrations() []string {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	names, err := migrate.FindMigrations(files)
	if err != nil {
		panic(err) // the files are part of the binary
	}
	return names
}

func latestVersion() int32 { return int32(len(migrations())) }
