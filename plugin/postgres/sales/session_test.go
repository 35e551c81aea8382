package sales_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

func TestConnection_ClosedWhileIdleIsNotUsed(t *testing.T) {
	shop := openShop(t)
	metrics := prometheus.NewRegistry()
	store := shop.Store(oneWriter, withMetrics(metrics))
	mustRecord(t, store, sell("k"))
	until(t, "the slow lane is connected too", func() bool { return shop.connections() == 1+postgres.SlowLaneConns })
	until(t, "the connections are counted", func() bool {
		stats := store.Stats()
		return stats.Connected == 1 && stats.Busy == 0 &&
			stats.SlowConnected == postgres.SlowLaneConns && stats.SlowBusy == 0
	})
	shop.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE " + edges)
	until(t, "it is closed", func() bool { return shop.connections() == 0 })
	// On the dead connection, the outcome would be unknown.
	expectError(t, record(t, store, sell("k", byClick("none"))), sale.ErrUnattributed)
	if n, _ := statements(t, metrics); n != 2 {
		t.Errorf("%d statements, want 2", n)
	}
}

func TestUnreachableServer_FailsImmediately(t *testing.T) {
	dir := t.TempDir()
	var log testenv.Log
	store := openStore(t, "host="+dir+" user=u password=hunter2 dbname=d",
		func(o *postgres.Options) { o.Logger = log.Logger() })
	got := record(t, store, sell("k"))
	if !errors.Is(got.err, sale.ErrNotRecorded) || errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("error %v, want not recorded", got.err)
	}
	until(t, "it is logged", func() bool { return log.Count(unreachable) > 0 }) // possibly by the slow lane
	if log.Count(unreachable) != 1 || strings.Contains(log.String()+got.err.Error(), "hunter2") {
		t.Errorf("logged %s", log.String())
	}
}

func TestMissingSchema_IsNamedUntilItExists(t *testing.T) {
	dsn := testenv.EmptyDatabase(t)
	var log testenv.Log
	store := openStore(t, dsn, func(o *postgres.Options) { o.Logger = log.Logger() })
	for range 3 {
		got := record(t, store, sell("k"))
		if !errors.Is(got.err, sale.ErrNotRecorded) || !errors.Is(got.err, postgres.ErrSchema) {
			t.Fatalf("error %v, want the schema", got.err)
		}
	}
	if log.Count("hoko migrate") != 1 {
		t.Errorf("logged %s", log.String())
	}
	testenv.NoError(t, postgres.Migrate(testenv.Guarded(t), dsn, nil))
	testenv.Connect(t, dsn).Exec(pgtest.Catalog)
	mustRecord(t, store, sell("k"))
}

func TestView_RejectedIfItsTimesWouldBeMisread(t *testing.T) {
	shop := openShop(t)
	shop.Exec("ALTER TABLE hoko.links ALTER created_at DROP DEFAULT, ALTER created_at TYPE date")
	got := record(t, shop.Store(), sell("k"))
	if !errors.Is(got.err, sale.ErrNotRecorded) || !errors.Is(got.err, postgres.ErrSchema) {
		t.Errorf("error %v, want the schema", got.err)
	}
}

func TestStandby_IsNotWrittenTo(t *testing.T) {
	shop := openShop(t)
	shop.Exec("ALTER DATABASE " + shop.Conn.Config().Database + " SET default_transaction_read_only = on")
	metrics := prometheus.NewRegistry()
	store := shop.Store(withMetrics(metrics))
	expectError(t, record(t, store, sell("k")), sale.ErrNotRecorded)
	if n, _ := statements(t, metrics); n != 0 {
		t.Errorf("%d statements were sent to it", n)
	}
	shop.Exec("BEGIN READ WRITE")
	shop.Exec("ALTER DATABASE " + shop.Conn.Config().Database + " RESET default_transaction_read_only")
	shop.Exec("COMMIT")
	mustRecord(t, store, sell("k"))
}

func TestPooler_RefusesSettings(t *testing.T) {
	shop := openShop(t)
	var log testenv.Log
	store := openStore(t, shop.keepingSettings(), oneWriter, func(o *postgres.Options) { o.Logger = log.Logger() })
	mustRecord(t, store, sell("k"))
	if log.Count("ALTER ROLE") != 1 {
		t.Errorf("logged %s", log.String())
	}
}

func TestSession_Settings(t *testing.T) {
	shop := openShop(t)
	shop.Exec(`CREATE TABLE public.seen AS SELECT name, setting FROM pg_settings WHERE false`)
	shop.Exec(`CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.seen SELECT name, setting FROM pg_settings
			WHERE name IN ('plan_cache_mode', 'enable_seqscan', 'enable_bitmapscan', 'jit', 'lock_timeout',
				'statement_timeout', 'default_transaction_isolation', 'tcp_user_timeout', 'client_min_messages');
			RETURN NEW;
		END $$`)
	shop.Exec("CREATE TRIGGER look BEFORE INSERT ON hoko.sales FOR EACH ROW EXECUTE FUNCTION public.look()")
	var log testenv.Log
	store := shop.Store(withTimeout(8*time.Second), func(o *postgres.Options) { o.Logger = log.Logger() })
	mustRecord(t, store, sell("k"))
	got := shop.Rows("SELECT * FROM public.seen ORDER BY name")
	want := lines("(client_min_messages,warning)", `(default_transaction_isolation,"read committed")`,
		"(enable_bitmapscan,off)", "(enable_seqscan,off)", "(jit,off)", "(lock_timeout,50)",
		"(plan_cache_mode,force_generic_plan)", "(statement_timeout,4000)",
		"(tcp_user_timeout,0)") // a Unix socket has none
	if got != want {
		t.Errorf("settings\n%s\nwant\n%s", got, want)
	}
	if log.Count("ALTER ROLE") != 0 {
		t.Errorf("logged %s", log.String())
	}
}

func TestUnsafeCommits_AreWarnedOf(t *testing.T) {
	shop := openShop(t)
	shop.Exec("ALTER DATABASE " + shop.Conn.Config().Database + " SET synchronous_commit = off")
	var log testenv.Log
	store := shop.Store(oneWriter, func(o *postgres.Options) { o.Logger = log.Logger() })
	mustRecord(t, store, sell("k"))
	if log.Count("synchronous_commit = on") != 1 {
		t.Errorf("logged %s", log.String())
	}
}

// While its commit waits for a missing standby, a server already shows the rows.
func TestStandbys_MustHaveAConfirmedSale(t *testing.T) {
	t.Parallel() // it mostly waits
	_, dsn, _ := pgtest.OwnServer(t)
	store := openStore(t, dsn)
	s := sell("k", keyed("key"))
	mustRecord(t, store, s)
	configure := pgtest.SynchronousStandbys(t, dsn)
	configure("missing")
	for _, again := range map[string]*sale.Sale{"the same sale": s, "the same key": sell("k", keyed("key")),
		"a new sale": sell("k")} {
		// Another edge, as the customer's next sales wait on this one.
		expectUnknown(t, wait(t, beginWithin(t, openStore(t, dsn), again, time.Second)))
	}
	configure("")
	if got := mustRecord(t, store, sell("k", keyed("key"))); !got.Replayed {
		t.Errorf("afterwards: %+v", got)
	}
}

// A canceled wait for the standbys makes the commit succeed with a warning, which a role's settings
// may suppress.
func TestStandbys_CanceledWaitConfirmsNothing(t *testing.T) {
	_, dsn, db := pgtest.OwnServer(t)
	db.Exec("ALTER ROLE postgres SET client_min_messages = error")
	store := openStore(t, dsn)
	mustRecord(t, store, sell("k"))
	configure := pgtest.SynchronousStandbys(t, dsn)
	waiting := func(forStandbysOnly bool) string {
		return fmt.Sprintf(`FROM pg_stat_activity WHERE wait_event = 'SyncRep'
			AND (query ~ 'pg_logical_emit_message') = %v`, forStandbysOnly)
	}
	for name, s := range map[string]*sale.Sale{"single": sell("k"), "with a key": sell("k", keyed("key")),
		"that changes": sell("k", named("changed"))} {
		t.Run(name, func(t *testing.T) {
			configure("missing")
			sold := begin(t, store, s)
			until(t, "its commit waits",
				func() bool { return testenv.Value[int](db, "SELECT count(*) "+waiting(false)) == 1 })
			db.Exec("SELECT pg_cancel_backend(pid) " + waiting(false))
			until(t, "it is sent again, and that waits",
				func() bool { return testenv.Value[int](db, "SELECT count(*) "+waiting(true)) == 1 })
			select {
			case got := <-sold:
				t.Errorf("answered while no standby has it: %+v", got)
			default:
			}
			configure("")
			expectRecorded(t, sold)
		})
	}
	if n := testenv.Value[int](db, "SELECT count(*) FROM hoko.sales"); n != 4 {
		t.Errorf("%d sales, want 4", n)
	}
}

// encoded returns a shop whose database has another encoding than UTF-8.
func encoded(t *testing.T, encoding string) (dsn string, db testenv.DB) {
	t.Helper()
	server := testenv.Postgres(t)
	testenv.Connect(t, server.DSN("postgres")).
		Exec("CREATE DATABASE shop ENCODING '" + encoding + "' LOCALE 'C' TEMPLATE template0")
	dsn = server.DSN("shop")
	testenv.NoError(t, postgres.Migrate(testenv.Guarded(t), dsn, nil))
	db = testenv.Connect(t, dsn+"&client_encoding=UTF8")
	db.Exec(pgtest.Catalog)
	return dsn, db
}

func TestLatin1_KeepsNames(t *testing.T) {
	t.Parallel() // it mostly waits
	dsn, db := encoded(t, "LATIN1")
	db.Exec("UPDATE hoko.links SET title = 'Café'")
	got := mustRecord(t, openStore(t, dsn), sell("k", named("Zoë")))
	if got.Customer.Name != "Zoë" || text(got.Link.Title) != "Café" {
		t.Errorf("answered %q and %q", got.Customer.Name, text(got.Link.Title))
	}
	if name := testenv.Value[string](db, "SELECT name FROM hoko.customers"); name != "Zoë" {
		t.Errorf("stored %q", name)
	}
}

func TestLatin1_FailsOnlyTheSaleItCannotStore(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		t.Run(encoding, func(t *testing.T) {
			dsn, _ := encoded(t, encoding)
			wire := pgtest.Tap(t, dsn)
			store := openStore(t, wire.DSN, oneWriter)
			outcomes := queue(t, store,
				sell("one"), sell("bad", noting(`{"a":"\u20ac"}`)), sell("two", inWorkspace("w2"), byClick("y1")))
			wire.Resume()
			for i, o := range outcomes {
				if got := wait(t, o); i == 1 && !matches(got.err, errAny) || i != 1 && got.err != nil {
					t.Errorf("sale %d: %v", i, got.err)
				}
			}
		})
	}
}

// The columns of the prepared statement change while edges record sales.
func TestMigrationOfALinksColumn_CostsNoSale(t *testing.T) {
	shop := openShop(t)
	metrics := prometheus.NewRegistry()
	store := shop.Store(oneWriter, withMetrics(metrics))
	mustRecord(t, store, sell("k"))
	shop.Exec("ALTER TABLE hoko.links ALTER COLUMN created_at TYPE timestamp USING created_at AT TIME ZONE 'UTC'")
	mustRecord(t, store, sell("k", named("changed")))
	if n := failures(t, metrics, "26"); n == 0 {
		t.Error("the statement was not prepared again")
	}
}

func TestUnattributedSale_SaysIfNothingCouldEarnAny(t *testing.T) {
	dsn := testenv.Database(t)
	db, store := testenv.Connect(t, dsn), openStore(t, dsn)
	noSource := func() bool {
		t.Helper()
		got := record(t, store, sell("k", byClick("none")))
		if !errors.Is(got.err, sale.ErrUnattributed) {
			t.Fatalf("got %v", got.err)
		}
		return errors.Is(got.err, sale.ErrNoSource)
	}
	if !noSource() {
		t.Error("without a link it does not say so")
	}
	db.Exec("INSERT INTO hoko.links (id, workspace_id, url, short_url) VALUES ('l', 'w1', '', '')")
	if !noSource() {
		t.Error("without a click it does not say so")
	}
	db.Exec("INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('c', 'w1', 'l')")
	testenv.Until(t, "it finds the click", func() bool { return !noSource() })
	db.Exec("DELETE FROM hoko.clicks")
	if noSource() {
		t.Error("it queries again for what it has found before")
	}
}

// The view takes an hour to show whether it has any row, but finds a row by its ID immediately.
func TestUnattributedSale_HoldsUpNoOther(t *testing.T) {
	shop := openShop(t)
	shop.Exec(`CREATE FUNCTION hoko.slow() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
			IF current_query() LIKE '%EXISTS (SELECT FROM hoko.clicks)%' THEN PERFORM pg_sleep(3600); END IF;
			RETURN true;
		END $$;
		ALTER TABLE hoko.clicks RENAME TO site_clicks;
		CREATE VIEW hoko.clicks AS SELECT id, workspace_id, link_id FROM hoko.site_clicks WHERE hoko.slow()`)
	store := shop.Store(oneWriter)
	mustRecord(t, store, sell("k", byClick("c1")))
	sessions := func() string { return shop.Rows("SELECT pid FROM pg_stat_activity WHERE " + edges + " ORDER BY 1") }
	until(t, "the slow lane is connected too", func() bool { return shop.connections() == 1+postgres.SlowLaneConns })
	before := sessions()
	got := record(t, store, sell("k", byClick("none")))
	if !errors.Is(got.err, sale.ErrUnattributed) || errors.Is(got.err, sale.ErrNoSource) {
		t.Errorf("error %v, want unattributed", got.err)
	}
	mustRecord(t, store, sell("k", byClick("c1")))
	if after := sessions(); after != before {
		t.Errorf("the query has ended a session: had %s, has %s", before, after)
	}
}
