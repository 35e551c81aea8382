package postgres_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

func TestMigratingAtOnceSucceedsForAll(t *testing.T) {
	dsn, ctx := testenv.EmptyDatabase(t), guarded(t)
	var log journal
	failures := make([]error, 4)
	var all sync.WaitGroup
	for i := range failures {
		all.Go(func() { failures[i] = postgres.Migrate(ctx, dsn, log.logger()) })
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	if n := log.count("name=001_hoko.sql"); n != 1 {
		t.Errorf("the first migration ran %d times", n)
	}
	current, latest, err := postgres.MigrationStatus(ctx, dsn)
	if err != nil || current != latest || latest < 1 {
		t.Errorf("status is %d of %d, %v", current, latest, err)
	}
}

func TestMigrationWaitsWithTheRolesTimeouts(t *testing.T) {
	// As docs/operations.md sets them behind a PgBouncer.
	dsn, ctx := testenv.EmptyDatabase(t), guarded(t)
	other := connect(t, dsn)
	other.exec("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 1', current_database()); END $$")
	other.exec("BEGIN")
	other.exec("SELECT pg_advisory_lock(1752132463)")

	migrated := make(chan error, 1)
	go func() { migrated <- postgres.Migrate(ctx, dsn, nil) }()
	watcher := connect(t, dsn)
	until(t, "it waits for the lock", func() bool {
		return value[int](watcher, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") > 0
	})
	// Longer than the role's lock_timeout, which the migration must not obey.
	watcher.exec("SELECT pg_sleep(0.05)")
	other.exec("SELECT pg_advisory_unlock(1752132463)")
	if err := <-migrated; err != nil {
		t.Fatal(err)
	}
}

func TestStatusChangesNothing(t *testing.T) {
	dsn, ctx := testenv.EmptyDatabase(t), guarded(t)
	current, latest, err := postgres.MigrationStatus(ctx, dsn)
	if err != nil || current != 0 || latest < 1 {
		t.Errorf("status of an empty database is %d of %d, %v", current, latest, err)
	}
	if value[bool](connect(t, dsn), "SELECT to_regnamespace('hoko') IS NOT NULL") {
		t.Error("asking for the status created the schema")
	}
}

func TestMigrationNeedsOnlyTheSchema(t *testing.T) {
	// An administrator made the schema for a role that may not make any.
	dsn, ctx := testenv.EmptyDatabase(t), guarded(t)
	db := connect(t, dsn)
	db.exec("CREATE ROLE schema_owner")
	t.Cleanup(func() { connect(t, dsn).exec("DROP OWNED BY schema_owner; DROP ROLE schema_owner") })
	db.exec("CREATE SCHEMA hoko AUTHORIZATION schema_owner")
	if err := postgres.Migrate(ctx, dsn+"&role=schema_owner", nil); err != nil {
		t.Fatal(err)
	}
}

func TestNewerSchemaIsLeftAsItIs(t *testing.T) {
	dsn, ctx := testenv.Database(t), guarded(t)
	db := connect(t, dsn)
	db.exec("UPDATE hoko.schema_version SET version = 1000")
	var log journal
	if err := postgres.Migrate(ctx, dsn, log.logger()); err != nil {
		t.Fatal(err)
	}
	if v := value[int](db, "SELECT version FROM hoko.schema_version"); v != 1000 {
		t.Errorf("version is %d now", v)
	}
	if n := log.count("newer than this edge"); n != 1 {
		t.Errorf("warned %d times", n)
	}
}

func TestCheckSchema(t *testing.T) {
	ctx := guarded(t)
	t.Run("current", func(t *testing.T) {
		var log journal
		if err := postgres.CheckSchema(ctx, connect(t, testenv.Database(t)).conn, log.logger()); err != nil || log.String() != "" {
			t.Errorf("%v, logged %q", err, log.String())
		}
	})
	t.Run("missing", func(t *testing.T) {
		err := postgres.CheckSchema(ctx, connect(t, testenv.EmptyDatabase(t)).conn, nil)
		if !errors.Is(err, postgres.ErrSchema) || !strings.Contains(err.Error(), "caddy hoko migrate") {
			t.Error(err)
		}
	})
	t.Run("older", func(t *testing.T) {
		db := connect(t, testenv.Database(t))
		db.exec("UPDATE hoko.schema_version SET version = version - 1")
		if err := postgres.CheckSchema(ctx, db.conn, nil); !errors.Is(err, postgres.ErrSchema) {
			t.Error(err)
		}
	})
	t.Run("newer warns once", func(t *testing.T) {
		db := connect(t, testenv.Database(t))
		// A version of its own: one that was warned of before, by this process, is not news.
		db.exec(fmt.Sprintf("UPDATE hoko.schema_version SET version = %d", 2000+rand.IntN(1_000_000_000)))
		var log journal
		for range 3 {
			if err := postgres.CheckSchema(ctx, db.conn, log.logger()); err != nil {
				t.Fatal(err)
			}
		}
		if n := log.count("newer than this edge"); n != 1 {
			t.Errorf("warned %d times", n)
		}
	})
	t.Run("without an answer it is no matter of the schema", func(t *testing.T) {
		db := connect(t, testenv.Database(t))
		_ = db.conn.Close(ctx)
		if err := postgres.CheckSchema(ctx, db.conn, nil); err == nil || errors.Is(err, postgres.ErrSchema) {
			t.Error(err)
		}
	})
}
