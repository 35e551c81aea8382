package postgres_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/tern/v2/migrate"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

func TestMigrate_ConcurrentCallsSucceed(t *testing.T) {
	dsn, ctx := testenv.EmptyDatabase(t), testenv.Guarded(t)
	var log testenv.Log
	failures := make([]error, 4)
	var all sync.WaitGroup
	for i := range failures {
		all.Go(func() { failures[i] = postgres.Migrate(ctx, dsn, log.Logger()) })
	}
	all.Wait()
	testenv.NoError(t, errors.Join(failures...))
	if n := log.Count("name=001_hoko.sql"); n != 1 {
		t.Errorf("the first migration ran %d times, want once", n)
	}
	current, latest, err := postgres.MigrationStatus(ctx, dsn)
	if err != nil || current != latest || latest < 1 {
		t.Errorf("status is %d of %d, %v", current, latest, err)
	}
}

// migrateByTern migrates as the first edges did: schema_version has no primary key.
func migrateByTern(t *testing.T, db testenv.DB, version int32) {
	t.Helper()
	db.Exec("CREATE SCHEMA hoko")
	ctx := testenv.Guarded(t)
	first, err := migrate.NewMigrator(ctx, db.Conn, "hoko.schema_version")
	testenv.NoError(t, err)
	testenv.NoError(t, errors.Join(first.LoadMigrations(os.DirFS("migrations")), first.MigrateTo(ctx, version)))
}

// If all tables are published, Postgres rejects updates of tables without a primary key.
func TestMigrate_WithAllTablesPublished(t *testing.T) {
	const publish = "CREATE PUBLICATION everything FOR ALL TABLES"
	for name, prepare := range map[string]func(*testing.T, testenv.DB){
		"new": func(_ *testing.T, db testenv.DB) { db.Exec(publish) },
		"empty version table": func(_ *testing.T, db testenv.DB) {
			db.Exec(publish + "; CREATE SCHEMA hoko; CREATE TABLE hoko.schema_version (version int4 NOT NULL)")
		},
		"made by version 1": func(t *testing.T, db testenv.DB) { migrateByTern(t, db, 1); db.Exec(publish) },
	} {
		t.Run(name, func(t *testing.T) {
			dsn, ctx := testenv.EmptyDatabase(t), testenv.Guarded(t)
			prepare(t, testenv.Connect(t, dsn))
			testenv.NoError(t, postgres.Migrate(ctx, dsn, nil))
			if current, latest, err := postgres.MigrationStatus(ctx, dsn); err != nil || current != latest {
				t.Errorf("status is %d of %d, %v", current, latest, err)
			}
		})
	}
}

func TestMigrate_FailureChangesNothing(t *testing.T) {
	dsn, ctx := testenv.EmptyDatabase(t), testenv.Guarded(t)
	db := testenv.Connect(t, dsn)
	db.Exec(`CREATE FUNCTION public.fail() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'failed'; END $$;
		CREATE EVENT TRIGGER fail ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION public.fail()`)
	pgtest.WantError(t, postgres.Migrate(ctx, dsn, nil), "001_hoko.sql: ERROR: failed")
	if testenv.Value[bool](db, "SELECT to_regnamespace('hoko') IS NOT NULL") {
		t.Error("it has left a schema behind")
	}
	db.Exec("DROP EVENT TRIGGER fail")
	testenv.NoError(t, postgres.Migrate(ctx, dsn, nil))
}

// Sessions queue behind a waiting ALTER TABLE, so a migration must not wait for long transactions.
func TestMigrate_BehindADumpBlocksNoSession(t *testing.T) {
	dsn, ctx := testenv.EmptyDatabase(t), testenv.Guarded(t)
	db, dump := testenv.Connect(t, dsn), testenv.Connect(t, dsn)
	migrateByTern(t, db, 1)
	dump.Exec("BEGIN; SELECT FROM hoko.schema_version")
	var log testenv.Log
	migrated := make(chan error, 1)
	go func() { migrated <- postgres.Migrate(ctx, dsn, log.Logger()) }()
	log.Wait(t, "another session holds a lock", "version=2")
	if err := postgres.CheckSchema(ctx, db.Conn, nil); !errors.Is(err, postgres.ErrSchema) {
		t.Errorf("the schema is %v, want an older one", err)
	}
	dump.Exec("COMMIT")
	testenv.NoError(t, <-migrated)
}

// Edges of the previous version keep running meanwhile.
func TestMigrate_UpgradesEarlierSchema(t *testing.T) {
	for name, adopt := range map[string]string{
		"its own tables": "INSERT INTO hoko.workspaces (id) VALUES ('w1')",
		"over a site's tables": `DROP TABLE hoko.workspaces CASCADE;
			CREATE TABLE public.teams AS SELECT 'w1' AS id, NULL::timestamptz AS disabled_at;
			CREATE VIEW hoko.workspaces AS TABLE public.teams`,
	} {
		t.Run(name, func(t *testing.T) {
			dsn, ctx := testenv.EmptyDatabase(t), testenv.Guarded(t)
			db, listener := testenv.Connect(t, dsn), testenv.Connect(t, dsn)
			migrateByTern(t, db, 1)
			db.Exec(adopt)
			db.Exec("BEGIN; SELECT FROM hoko.workspaces") // like a long lookup
			testenv.NoError(t, postgres.Migrate(ctx, dsn, nil))
			db.Exec("COMMIT")
			listener.Exec("LISTEN hoko_keys")
			db.Exec("INSERT INTO hoko.workspaces (id) VALUES ('w2')")
			db.Exec("UPDATE hoko.workspaces SET disabled_at = now() WHERE id = 'w1'")
			db.Exec("NOTIFY hoko_keys, 'end'")
			var want []string
			if name == "its own tables" {
				want = []string{"workspace:w1"}
			}
			if got := notifications(t, listener, "end"); !slices.Equal(got, want) {
				t.Errorf("notified %q, want %q", got, want)
			}
		})
	}
}

func TestMigrate_OverridesTheRolesTimeouts(t *testing.T) {
	// docs/operations.md sets such timeouts for roles behind a PgBouncer.
	dsn, ctx := testenv.EmptyDatabase(t), testenv.Guarded(t)
	other := testenv.Connect(t, dsn)
	other.Exec("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 1', current_database()); END $$")
	other.Exec("BEGIN")
	other.Exec("SELECT pg_advisory_lock(1752132463)")

	migrated := make(chan error, 1)
	go func() { migrated <- postgres.Migrate(ctx, dsn, nil) }()
	watcher := testenv.Connect(t, dsn)
	testenv.Until(t, "it waits for the lock", func() bool {
		return watcher.Count("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") > 0
	})
	watcher.Exec("SELECT pg_sleep(0.05)") // longer than the role's lock_timeout
	other.Exec("SELECT pg_advisory_unlock(1752132463)")
	testenv.NoError(t, <-migrated)
}

func TestMigrationStatus_ChangesNothing(t *testing.T) {
	dsn, ctx := testenv.EmptyDatabase(t), testenv.Guarded(t)
	current, latest, err := postgres.MigrationStatus(ctx, dsn)
	if err != nil || current != 0 || latest < 1 {
		t.Errorf("status of an empty database is %d of %d, %v", current, latest, err)
	}
	if testenv.Value[bool](testenv.Connect(t, dsn), "SELECT to_regnamespace('hoko') IS NOT NULL") {
		t.Error("MigrationStatus created the schema")
	}
}

func TestMigrate_NeedsOnlyTheSchema(t *testing.T) {
	// An administrator has created the schema for a role that may not create schemas.
	dsn, ctx := testenv.EmptyDatabase(t), testenv.Guarded(t)
	db := testenv.Connect(t, dsn)
	db.Exec("CREATE ROLE schema_owner")
	t.Cleanup(func() { testenv.Connect(t, dsn).Exec("DROP OWNED BY schema_owner; DROP ROLE schema_owner") })
	db.Exec("CREATE SCHEMA hoko AUTHORIZATION schema_owner")
	testenv.NoError(t, postgres.Migrate(ctx, dsn+"&role=schema_owner", nil))
}

func TestMigrate_LeavesNewerSchema(t *testing.T) {
	dsn, ctx := testenv.Database(t), testenv.Guarded(t)
	db := testenv.Connect(t, dsn)
	db.Exec("UPDATE hoko.schema_version SET version = 1000")
	var log testenv.Log
	testenv.NoError(t, postgres.Migrate(ctx, dsn, log.Logger()))
	if v := testenv.Value[int](db, "SELECT version FROM hoko.schema_version"); v != 1000 {
		t.Errorf("version is %d now", v)
	}
	if n := log.Count("newer than this edge"); n != 1 {
		t.Errorf("warned %d times", n)
	}
}

func TestCheckSchema(t *testing.T) {
	ctx := testenv.Guarded(t)
	t.Run("current", func(t *testing.T) {
		var log testenv.Log
		conn := testenv.Connect(t, testenv.Database(t)).Conn
		if err := postgres.CheckSchema(ctx, conn, log.Logger()); err != nil || log.String() != "" {
			t.Errorf("%v, logged %q", err, log.String())
		}
	})
	t.Run("missing", func(t *testing.T) {
		err := postgres.CheckSchema(ctx, testenv.Connect(t, testenv.EmptyDatabase(t)).Conn, nil)
		if !errors.Is(err, postgres.ErrSchema) || !strings.Contains(err.Error(), "caddy hoko migrate") {
			t.Error(err)
		}
	})
	t.Run("older", func(t *testing.T) {
		db := testenv.Connect(t, testenv.Database(t))
		db.Exec("UPDATE hoko.schema_version SET version = 1")
		if err := postgres.CheckSchema(ctx, db.Conn, nil); !errors.Is(err, postgres.ErrSchema) {
			t.Error(err)
		}
	})
	t.Run("newer warns once", func(t *testing.T) {
		db := testenv.Connect(t, testenv.Database(t))
		// A random version, because a process logs each newer version once.
		db.Exec(fmt.Sprintf("UPDATE hoko.schema_version SET version = %d", 2000+rand.IntN(1_000_000_000)))
		var log testenv.Log
		for range 3 {
			testenv.NoError(t, postgres.CheckSchema(ctx, db.Conn, log.Logger()))
		}
		if n := log.Count("newer than this edge"); n != 1 {
			t.Errorf("warned %d times", n)
		}
	})
	t.Run("connection lost", func(t *testing.T) {
		db := testenv.Connect(t, testenv.Database(t))
		_ = db.Conn.Close(ctx)
		if err := postgres.CheckSchema(ctx, db.Conn, nil); err == nil || errors.Is(err, postgres.ErrSchema) {
			t.Error(err)
		}
	})
}

// In transaction mode, the lock and the timeouts could end up in another client's session.
func TestMigrate_FailsBehindTransactionPooler(t *testing.T) {
	pooler := pgtest.Tap(t, testenv.EmptyDatabase(t))
	pooler.Refuses = func(parameters map[string]string) string {
		if parameters["lock_timeout"] == "" {
			return ""
		}
		return "unsupported startup parameter: lock_timeout"
	}
	pgtest.WantError(t, postgres.Migrate(testenv.Guarded(t), pooler.Working().DSN, nil), "lock_timeout")
}
