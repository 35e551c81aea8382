package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

// An edge on version 2 lacks only a metric, so migrating while it records sales disturbs none.
func TestMigrate_FromVersion2WhileSalesRun(t *testing.T) {
	dsn, ctx := testenv.EmptyDatabase(t), testenv.Guarded(t)
	db, other := testenv.Connect(t, dsn), testenv.Connect(t, dsn)
	migrateByTern(t, db, 2)
	db.Exec(pgtest.Catalog)
	hash := seedRoleKey(&pgtest.Shop{DB: db, DSN: dsn})
	store, keys := pgtest.OpenStore(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	if at, err := keys.LastCleanUp(ctx); !at.IsZero() || err == nil {
		t.Errorf("the last clean-up was %v, %v", at, err)
	}
	other.Exec(`BEGIN; LOCK TABLE hoko.sales, hoko.customers, hoko.idempotency_keys, hoko.api_keys
		IN ROW EXCLUSIVE MODE`)

	migrated, sold, stopped := make(chan struct{}), make(chan struct{}, 1), make(chan int)
	go func() {
		defer close(stopped)
		n := 0
		for more := true; more; n++ {
			select {
			case <-migrated:
				more = false
			default:
			}
			key := fmt.Sprint(n)
			if _, err := store.Record(ctx, pgtest.Sell("k"+key, pgtest.WithKey(key))); err != nil {
				t.Error(err)
			}
			if _, err := keys.Key(ctx, hash); err != nil {
				t.Error(err)
			}
			select {
			case sold <- struct{}{}:
			default:
			}
		}
		stopped <- n
	}()
	<-sold
	var log testenv.Log
	testenv.NoError(t, postgres.Migrate(ctx, dsn, log.Logger()))
	close(migrated)
	if want, got := <-stopped, db.Count("SELECT count(*) FROM hoko.sales"); got != want || want < 2 {
		t.Errorf("%d sales are recorded, want %d", got, want)
	}
	if log.Count("version=3") != 1 || log.Count("level=WARN") != 0 {
		t.Errorf("logged %s", log.String())
	}
	testenv.NoError(t, postgres.RecordCleanUp(ctx, db.Conn))
	if at, err := keys.LastCleanUp(ctx); at.IsZero() || err != nil {
		t.Errorf("the last clean-up was %v, %v", at, err)
	}
}

func TestCheckSchema_OlderButSufficient(t *testing.T) {
	db := testenv.Connect(t, testenv.Database(t))
	ctx := testenv.Guarded(t)
	var log testenv.Log
	check := func(version int32) {
		t.Helper()
		db.Exec(fmt.Sprintf("UPDATE hoko.schema_version SET version = %d", version))
		testenv.NoError(t, postgres.CheckSchema(ctx, db.Conn, log.Logger()))
	}
	check(2_000_000_000 + rand.Int32N(100_000_000)) // another test may have logged the older one last
	for range 3 {
		check(postgres.RequiredVersion)
	}
	if n := log.Count("caddy hoko migrate"); n != 1 {
		t.Errorf("warned %d times:\n%s", n, log.String())
	}
	check(postgres.LatestVersion())
	if n := log.Count("level=WARN"); n != 2 {
		t.Errorf("warned %d times:\n%s", n, log.String())
	}
}

func TestLastCleanUp(t *testing.T) {
	shop, ctx := pgtest.OpenShop(t), testenv.Guarded(t)
	hash := seedRoleKey(shop)
	shop.Exec(`DO $$ BEGIN IF to_regrole('narrow') IS NULL THEN CREATE ROLE narrow; END IF; END $$;
		GRANT USAGE ON SCHEMA hoko TO narrow; GRANT SELECT ON hoko.api_keys, hoko.workspaces TO narrow`)
	keys := pgtest.OpenKeys(t, postgres.Options{DSN: shop.DSN, MaxConns: 8}) // one connection
	wire := pgtest.Tap(t, shop.DSN)
	var reads atomic.Int32
	wire.OnParse = func(_ map[string]string, statement string) {
		if strings.Contains(statement, "FROM hoko.maintenance") {
			reads.Add(1)
		}
	}
	narrow := pgtest.OpenKeys(t, postgres.Options{DSN: wire.Working().DSN + "&role=narrow", MaxConns: 8})
	last := func() time.Time {
		t.Helper()
		at, err := keys.LastCleanUp(ctx)
		testenv.NoError(t, err)
		return at
	}
	if at := last(); !at.IsZero() {
		t.Errorf("never: %v", at)
	}
	var previous time.Time
	for range 2 {
		testenv.NoError(t, postgres.RecordCleanUp(ctx, shop.Conn))
		at := last()
		if now := testenv.Value[time.Time](shop.DB, "SELECT now()"); !at.After(previous) || now.Sub(at) > time.Minute {
			t.Errorf("%v after %v, and it is %v", at, previous, now)
		}
		previous = at
	}
	_, err := narrow.LastCleanUp(ctx)
	pgtest.WantError(t, err, "caddy hoko migrate, then docs/role.sql")
	if n := reads.Load(); n != 0 {
		t.Errorf("%d statements that the server rejects, and logs", n)
	}
	shop.Exec("GRANT SELECT ON hoko.maintenance TO narrow")
	if at, err := narrow.LastCleanUp(ctx); err != nil || !at.Equal(previous) {
		t.Errorf("once granted: %v, %v", at, err)
	}

	locked := shop.Lock("LOCK TABLE hoko.maintenance IN ACCESS EXCLUSIVE MODE")
	_, err = keys.LastCleanUp(ctx)
	pgtest.WantError(t, err, "lock timeout")
	if _, err := keys.Key(ctx, hash); err != nil {
		t.Errorf("a lookup afterwards: %v", err)
	}
	locked.Exec("COMMIT")
	if at := last(); !at.Equal(previous) {
		t.Errorf("once unlocked: %v", at)
	}

	shop.Exec("DROP TABLE hoko.maintenance")
	_, err = keys.LastCleanUp(ctx)
	pgtest.WantError(t, err, "caddy hoko migrate, then docs/role.sql")
	if _, err := keys.Key(ctx, hash); err != nil {
		t.Errorf("a lookup afterwards: %v", err)
	}
	pgtest.WantError(t, postgres.RecordCleanUp(ctx, shop.Conn), "run: caddy hoko migrate")
}

// Poolers refuse startup parameters, and a restarted server has closed all connections.
func TestLastCleanUp_RetriesWithANewConnection(t *testing.T) {
	shop, ctx := pgtest.OpenShop(t), testenv.Guarded(t)
	pooler := pgtest.Tap(t, shop.DSN)
	pooler.Refuses = func(parameters map[string]string) string {
		if parameters["jit"] == "" {
			return ""
		}
		return "unsupported startup parameter: jit"
	}
	keys := pgtest.OpenKeys(t, postgres.Options{DSN: pooler.Working().DSN + "&application_name=keys"})
	for range 2 {
		if _, err := keys.LastCleanUp(ctx); err != nil {
			t.Error(err)
		}
		shop.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keys'")
	}
}

func TestLastCleanUp_UnreachableServer(t *testing.T) {
	keys := pgtest.OpenKeys(t, postgres.Options{DSN: "postgres://hoko:s3cret@127.0.0.1:1/site"})
	_, err := keys.LastCleanUp(testenv.Guarded(t))
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}
