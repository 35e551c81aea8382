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

// migrateLock is the advisory lock that serializes migrations, even without a schema.
const migrateLock int64 = 0x686f6b6f // "hoko"

//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	// lockTimeout is how long a migration waits for a lock before it is retried. Other sessions
	// queue behind that wait: an ALTER TABLE that waits for a dump would block all sales.
	lockTimeout  = 200 * time.Millisecond
	minLockPause = 500 * time.Millisecond
	maxLockPause = 10 * time.Second
)

// Migrate upgrades the schema hoko to the version of this binary. It may run while edges do, and
// concurrent calls wait for each other. It leaves a newer schema unchanged and logs a warning. The
// logger may be nil. Each migration is a transaction, and the first one creates the schema, so a
// failed migration changes nothing.
//
// Migrate needs a direct or session-mode connection, not a PgBouncer in transaction mode.
func Migrate(ctx context.Context, dsn string, logger *slog.Logger) error {
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	// The role may have shorter timeouts, for the edge's sessions.
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
	latest := LatestVersion()
	if current > latest {
		warnNewerSchema(logger, current, latest)
	}
	for version := current + 1; version <= latest; version++ {
		if err := migrateWithRetry(ctx, conn, version, logger); err != nil {
			return fmt.Errorf("migrate to version %d: %w", version, err)
		}
	}
	return nil
}

// MigrationStatus returns the current version of the schema in the database, 0 if there is none,
// and the latest version, which Migrate upgrades to. It changes nothing.
func MigrationStatus(ctx context.Context, dsn string) (current, latest int32, err error) {
	conn, err := Connect(ctx, dsn, nil)
	if err != nil {
		return 0, 0, err
	}
	defer CloseConn(conn)
	current, err = schemaVersion(ctx, conn)
	return current, LatestVersion(), err
}

func lockMigrations(ctx context.Context, conn *pgx.Conn, logger *slog.Logger) error {
	var locked bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", migrateLock).Scan(&locked); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	if locked {
		return nil
	}
	logger.Info("waiting for another migration to finish")
	const wait = "SELECT set_config('lock_timeout', '0', true), pg_advisory_lock($1)"
	if _, err := conn.Exec(ctx, wait, migrateLock); err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	return nil
}

// migrateWithRetry runs one migration, and retries while other sessions hold a lock that it needs.
func migrateWithRetry(ctx context.Context, conn *pgx.Conn, version int32, logger *slog.Logger) error {
	logger.Info("migrating", slog.Int("version", int(version)), slog.String("name", migrations()[version-1]))
	for pause := minLockPause; ; pause = min(2*pause, maxLockPause) {
		err := pgx.BeginFunc(ctx, conn, func(pgx.Tx) error { return migrateTo(ctx, conn, version) })
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != pgerrcode.LockNotAvailable {
			return err
		}
		logger.Warn("another session holds a lock that a migration needs; retrying",
			slog.Int("version", int(version)), slog.Any("error", err))
		if !Pause(ctx, pause) {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// migrateTo runs one migration in the transaction that conn has begun.
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
			// Not UpSQL: with DisableTx, tern splits it into statements.
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

// createVersionTable creates tern's table with a primary key if it is missing, and adds the key to
// a table of earlier versions. Without the key, a publication FOR ALL TABLES makes updates of the
// version fail. CREATE SCHEMA IF NOT EXISTS would need the privilege even if the schema exists.
func createVersionTable(ctx context.Context, conn *pgx.Conn) error {
	var schema, table, key bool
	const query = `SELECT to_regnamespace('hoko') IS NOT NULL, to_regclass('` + versionTable + `') IS NOT NULL,
		EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass('` + versionTable + `') AND indisprimary)`
	if err := conn.QueryRow(ctx, query).Scan(&schema, &table, &key); err != nil {
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

// migrations returns the file names of the migrations in order. tern numbers them from 1 without
// gaps, so their number is the latest version of the schema.
func migrations() []string {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // impossible: the name is a valid constant
	}
	names, err := migrate.FindMigrations(files)
	if err != nil {
		panic(err) // impossible: the files are embedded
	}
	return names
}

// LatestVersion returns the version of the schema hoko that Migrate upgrades to.
func LatestVersion() int32 { return int32(len(migrations())) }
