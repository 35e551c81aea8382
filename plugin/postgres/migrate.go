package postgres

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"
)

const versionTable = "hoko.schema_version"

// migrateLock serialises migrations from before the schema exists: of two
// concurrent CREATE SCHEMA IF NOT EXISTS, one can fail.
const migrateLock int64 = 0x686f6b6f // "hoko"

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Migrate brings the schema hoko up to the version of this binary. It may run
// while edges do, and several times at once: the others wait. A newer schema is
// left as it is, with a warning.
//
// It needs a session of its own: with a PgBouncer in transaction mode in
// between, give it the address of the database itself.
func Migrate(ctx context.Context, dsn string, logger *slog.Logger) error {
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	// The role may have the timeouts of the edge's sessions; waiting for another migration exceeds them.
	conn, err := Connect(ctx, dsn, map[string]string{"lock_timeout": "0", "statement_timeout": "0"})
	if err != nil {
		return err
	}
	defer CloseConn(conn) // ends the session, and with it the lock

	if err := lockMigrations(ctx, conn, logger); err != nil {
		return err
	}
	if err := createSchema(ctx, conn); err != nil {
		return err
	}
	migrator, err := newMigrator(ctx, conn, logger)
	if err != nil {
		return err
	}
	current, err := migrator.GetCurrentVersion(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", versionTable, err)
	}
	if latest := latestVersion(); current > latest {
		warnNewerSchema(logger, current, latest)
		return nil
	}
	if err := migrator.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
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
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrateLock); err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	return nil
}

// createSchema asks first: CREATE SCHEMA IF NOT EXISTS requires the right to
// create schemas also where it exists.
func createSchema(ctx context.Context, conn *pgx.Conn) error {
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT to_regnamespace('hoko') IS NOT NULL").Scan(&exists); err != nil {
		return fmt.Errorf("look for schema hoko: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS hoko"); err != nil {
		return fmt.Errorf("create schema hoko (as the owner of the database: --database-url): %w", err)
	}
	return nil
}

func newMigrator(ctx context.Context, conn *pgx.Conn, logger *slog.Logger) (*migrate.Migrator, error) {
	migrator, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", versionTable, err)
	}
	for _, name := range migrations() {
		migrator.AppendMigration(name, ReadQuery(migrationFiles, "migrations/"+name), "")
	}
	migrator.OnStart = func(version int32, name, _, _ string) {
		logger.Info("migrating", slog.Int("version", int(version)), slog.String("name", name))
	}
	return migrator, nil
}

// migrations returns the names of the migrations' files in their order. Their number is the schema that
// this binary was made for: tern numbers them from 1 without a gap. They use none of tern's directives,
// which are comments.
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
