package sales_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

func TestRejectedSale_FailsAlone(t *testing.T) {
	shop, wire, store := openTappedShop(t)
	var sales []*sale.Sale
	for i := range 20 {
		sales = append(sales, sell(fmt.Sprint("k", i%7), named(fmt.Sprint(i))))
	}
	sales[3].Request.CustomerName = "not UTF-8: \xff"
	sales[11].Request.Amount = -1
	sales[19].Request.Metadata = []byte(`{"n":1e999999}`)
	outcomes := queueAndSend(t, wire, store, sales...)
	for i, o := range outcomes {
		got := wait(t, o)
		bad := i == 3 || i == 11 || i == 19
		if bad != (got.err != nil) {
			t.Errorf("sale %d: %v", i, got.err)
		}
		if errors.Is(got.err, sale.ErrNotRecorded) || isUnknown(got.err) {
			t.Errorf("sale %d: %v, want a separate error", i, got.err)
		}
	}
	shop.expectSales(t, 17, "true")
}

// raising makes the first n sales of the event "bad" raise a SQLSTATE. 57P01 ends the session.
func (s *shop) raising(sqlstate string, n int) {
	s.T.Helper()
	raise := "RAISE 'raised' USING ERRCODE = '" + sqlstate + "'"
	if sqlstate == pgerrcode.AdminShutdown {
		raise = "PERFORM pg_terminate_backend(pg_backend_pid())"
	}
	s.Exec("CREATE SEQUENCE public.raised")
	s.Exec(fmt.Sprintf(`CREATE FUNCTION public.raise() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.event_name = 'bad' AND nextval('public.raised') <= %d THEN
				%s;
			END IF;
			RETURN NEW;
		END $$`, n, raise))
	s.Exec("CREATE TRIGGER raise BEFORE INSERT ON hoko.sales FOR EACH ROW EXECUTE FUNCTION public.raise()")
}

func TestStatement_Errors(t *testing.T) {
	const always = 1_000_000
	shop := openShop(t)
	for _, c := range []struct {
		name, sqlstate, class string
		retried               string // the cause that is counted, "" if none
		times                 int
		want, others          error // nil: recorded
	}{
		{"a deadlock that does not recur", pgerrcode.DeadlockDetected, "40", "conflict", 2, nil, nil},
		{"a serialization failure that does not recur", pgerrcode.SerializationFailure, "40", "conflict", 2, nil, nil},
		{"a deadlock each time", pgerrcode.DeadlockDetected, "40", "conflict", always, sale.ErrNotRecorded, nil},
		{"a duplicate that is gone", pgerrcode.UniqueViolation, "23", "conflict", 2, nil, nil},
		{"a duplicate each time", pgerrcode.UniqueViolation, "23", "conflict", always, errAny, nil},
		{"a lock that is gone", pgerrcode.LockNotAvailable, "55", "lock", 5, nil, nil},
		{"a lost statement", pgerrcode.InvalidSQLStatementName, "26", "connection", 1, nil, nil},
		{"a character that cannot be stored", pgerrcode.FeatureNotSupported, "other", "rejected", always, errAny, nil},
		{"an end of the session", pgerrcode.AdminShutdown, "08", "unknown", 2, nil, nil},
		{"a full disk", pgerrcode.DiskFull, "53", "", always, sale.ErrNotRecorded, sale.ErrNotRecorded},
		{"a timeout", pgerrcode.QueryCanceled, "53", "", always, sale.ErrNotRecorded, sale.ErrNotRecorded},
		{"no privilege", pgerrcode.InsufficientPrivilege, "42", "", always, sale.ErrNotRecorded, sale.ErrNotRecorded},
		{"a lost table", pgerrcode.UndefinedTable, "42", "", always, postgres.ErrSchema, sale.ErrNotRecorded},
		{"a standby", pgerrcode.ReadOnlySQLTransaction, "25", "", always, sale.ErrNotRecorded, sale.ErrNotRecorded},
		{"a trigger's objection", pgerrcode.RaiseException, "other", "rejected", always, errAny, nil},
		{"a violated constraint", pgerrcode.CheckViolation, "23", "rejected", always, errAny, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			shop.raising(c.sqlstate, c.times)
			wire := pgtest.Tap(t, shop.DSN)
			metrics := prometheus.NewRegistry()
			store := openStore(t, wire.DSN, oneWriter, withMetrics(metrics))
			bad := sell("bad", func(s *sale.Sale) { s.Request.EventName = "bad" })
			outcomes := queueAndSend(t, wire, store, sell("one"), bad, sell("two"), sell("three"))
			for i, o := range outcomes {
				want := c.others
				if i == 1 {
					want = c.want
				}
				if got := wait(t, o); !matches(got.err, want) {
					t.Errorf("sale %d: %v, want %v", i, got.err, want)
				}
			}
			if n, _ := statements(t, metrics); c.times <= 2 && n != uint64(c.times)+1 {
				t.Errorf("%d statements for %d errors: the batch was split", n, c.times)
			}
			if n := failures(t, metrics, c.class); n == 0 || n != float64(c.times) && c.times != always {
				t.Errorf("%v failures of the class %s for %d errors", n, c.class, c.times)
			}
			if retries := metric(t, metrics, "hoko_sale_retries_total"); (retries > 0) != (c.retried != "") {
				t.Errorf("%v retries", retries)
			} else if retries > 0 && metric(t, metrics, "hoko_sale_retries_total", c.retried) == 0 {
				t.Errorf("%v retries, but none for %s", retries, c.retried)
			}
			shop.Exec("DROP FUNCTION public.raise CASCADE; DROP SEQUENCE public.raised")
			mustRecord(t, store, sell("afterwards"))
			if n := shop.Sales("id = $1", bad.ID); (n == 1) != (c.want == nil) {
				t.Errorf("the bad one is there %d times", n)
			}
		})
	}
}

// errAny stands for any error of the database.
var errAny = errors.New("the database's own")

func matches(err, want error) bool {
	if want == errAny {
		return err != nil && !errors.Is(err, sale.ErrNotRecorded) && !isUnknown(err)
	}
	return errors.Is(err, want) && (err == nil) == (want == nil)
}

// A commit can fail after the statement has returned its rows.
func TestCommit_Rejected(t *testing.T) {
	shop := openShop(t)
	shop.Exec(`CREATE FUNCTION public.object() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.event_name = 'bad' THEN RAISE 'raised'; END IF;
			RETURN NULL;
		END $$`)
	shop.Exec(`CREATE CONSTRAINT TRIGGER object AFTER INSERT ON hoko.sales DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION public.object()`)
	wire := pgtest.Tap(t, shop.DSN)
	store := openStore(t, wire.DSN, oneWriter)
	bad := sell("bad", func(s *sale.Sale) { s.Request.EventName = "bad" })
	outcomes := queueAndSend(t, wire, store, sell("one"), bad, sell("two"))
	expectRecorded(t, outcomes[0], outcomes[2])
	if got := wait(t, outcomes[1]); !matches(got.err, errAny) {
		t.Error(got.err)
	}
	shop.expectSales(t, 2, "true")
}

func TestLostAnswer_IsAskedForAgain(t *testing.T) {
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprint("before it reached the server: ", before), func(t *testing.T) {
			shop := openShop(t)
			wire := pgtest.Tap(t, shop.DSN)
			var log testenv.Log
			metrics := prometheus.NewRegistry()
			store := openStore(t, wire.DSN, oneWriter, withMetrics(metrics),
				func(o *postgres.Options) { o.Logger = log.Logger() })
			lost := wire.Next(pgtest.Cut{Before: before})
			outcomes := queue(t, store, sell("k", keyed("one"), named("one")), sell("k", named("two")),
				sell("j", keyed("two")))
			wire.Resume()
			for i, o := range outcomes {
				got := wait(t, o)
				if got.err != nil {
					t.Fatal(got.err)
				}
				if got.Replayed {
					t.Errorf("sale %d is a replay", i)
				}
			}
			<-lost
			shop.expectSales(t, 3, "true")
			if n, _ := statements(t, metrics); n != 2 {
				t.Errorf("%d statements, want 2", n)
			}
			if n := failures(t, metrics, "08"); n != 1 {
				t.Errorf("%v failures of the class 08, want 1", n)
			}
			if n := metric(t, metrics, "hoko_sale_retries_total", "unknown"); n != 3 {
				t.Errorf("%v sales are asked for, want 3", n)
			}
			if log.Count("connection was lost") != 1 {
				t.Errorf("logged %s", log.String())
			}
		})
	}
}

// A pooler that has lost the server may report that without ending the session. The outcome is
// unknown.
func TestPoolerThatLosesTheServer_IsAskedAgain(t *testing.T) {
	shop := openShop(t)
	for _, code := range []string{pgerrcode.ConnectionFailure, pgerrcode.ConnectionException,
		pgerrcode.ProtocolViolation, pgerrcode.StatementCompletionUnknown, pgerrcode.AdminShutdown,
		pgerrcode.CannotConnectNow, pgerrcode.SystemError} {
		t.Run(code, func(t *testing.T) {
			wire := pgtest.Tap(t, shop.DSN)
			store := openStore(t, wire.DSN, oneWriter)
			lost := wire.Next(pgtest.Cut{ErrorCode: code})
			before := shop.Sales("true")
			outcomes := queueAndSend(t, wire, store, sell("k", named("one")), sell("j", keyed(code)))
			<-lost
			for i, o := range outcomes {
				if got := wait(t, o); got.err != nil || got.Replayed {
					t.Errorf("sale %d: %+v", i, got)
				}
			}
			if n := shop.Sales("true") - before; n != 2 {
				t.Errorf("%d sales, want 2", n)
			}
		})
	}
}

// A trigger's foreign data wrapper may report that its server is unreachable. The other sales are
// not in doubt.
func TestConnectionErrorOfATrigger_IsItsSalesOnly(t *testing.T) {
	t.Parallel()
	shop := openShop(t)
	shop.raising(pgerrcode.SQLClientUnableToEstablishSQLConnection, 1_000_000)
	for _, position := range []int{0, 4, 8} {
		t.Run(fmt.Sprint("at position ", position), func(t *testing.T) {
			t.Parallel()
			wire := pgtest.Tap(t, shop.DSN)
			store := openStore(t, wire.DSN, oneWriter)
			var outcomes []<-chan outcome
			for i := range 9 {
				s, timeout := sell(fmt.Sprint("k", i)), testenv.HangGuard
				if i == position {
					s.Request.EventName, timeout = "bad", 3*time.Second
				}
				outcomes = append(outcomes, beginWithin(t, store, s, timeout))
				until(t, "it waits", func() bool { return store.Stats().Queued == i+1 })
			}
			wire.Resume()
			for i, o := range outcomes {
				if got := wait(t, o); i == position && !isUnknown(got.err) || i != position && got.err != nil {
					t.Errorf("sale %d: %v", i, got.err)
				}
			}
		})
	}
}

// The lost statement may have seen the click.
func TestUnattributedSale_IsAskedForAfterALostAnswer(t *testing.T) {
	_, wire, store := openTappedShop(t)
	lost := wire.Next(pgtest.Cut{})
	done := beginWithin(t, store, sell("u", byClick("none")), time.Second)
	until(t, "it waits", func() bool { return store.Stats().Queued == 1 })
	wire.Resume()
	<-lost
	expectUnknown(t, wait(t, done))
}

func TestOutcome_UnknownIfItCannotBeAskedFor(t *testing.T) {
	t.Parallel() // it mostly waits
	shop, wire, store := openTappedShop(t)
	lost := wire.Next(pgtest.Cut{})
	s := sell("k", keyed("key"))
	done := beginWithin(t, store, s, 2*time.Second)
	until(t, "it waits", func() bool { return store.Stats().Queued == 1 })
	wire.Resume()
	<-lost
	wire.Cut()
	expectError(t, record(t, store, sell("k")), sale.ErrNotRecorded)
	expectUnknown(t, wait(t, done))
	if got := mustRecord(t, shop.Store(), sell("k", keyed("key"))); !got.Replayed || got.SaleID != s.ID {
		t.Errorf("asked again: %+v", got)
	}
}

func TestMuteServer_DelaysNoAnswerBeyondItsDeadline(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprint("before the statement reached it: ", before), func(t *testing.T) {
			shop := openShop(t)
			wire := pgtest.Tap(t, shop.DSN).Working()
			store := openStore(t, wire.DSN, oneWriter, withTimeout(2*time.Second))
			mustRecord(t, store, sell("k"))
			lost := wire.Next(pgtest.Cut{Before: before, Stall: true})
			sent := beginWithin(t, store, sell("k", costing(1)), time.Second)
			<-lost
			queued := beginWithin(t, store, sell("k", costing(2)), 100*time.Millisecond)
			patient := begin(t, store, sell("k", costing(3)))
			expectError(t, wait(t, queued), sale.ErrNotRecorded)
			expectUnknown(t, wait(t, sent))
			expectRecorded(t, patient)
			shop.expectSales(t, 0, "amount = 2")
		})
	}
}

func TestKilledServer_NoAnswerIsWrong(t *testing.T) {
	t.Parallel() // it mostly waits
	server := testenv.Postgres(t)
	dsn := server.DSN("postgres")
	testenv.NoError(t, postgres.Migrate(testenv.Guarded(t), dsn, nil))
	testenv.Connect(t, dsn).Exec(pgtest.Catalog)
	store := openStore(t, dsn, withTimeout(5*time.Second))
	mustRecord(t, store, sell("k"))

	server.Kill()
	s := sell("k", keyed("key"), costing(7))
	// A backend may outlive its server long enough to record the sale.
	got := wait(t, beginWithin(t, store, s, 2*time.Second))
	if got.err != nil && !errors.Is(got.err, sale.ErrNotRecorded) && !isUnknown(got.err) {
		t.Errorf("without a server: %v", got.err)
	}
	until(t, "sales are no longer sent", func() bool {
		return errors.Is(wait(t, beginWithin(t, store, sell("k"), 2*time.Second)).err, sale.ErrNotRecorded)
	})

	server.Start(t)
	db := testenv.Connect(t, dsn)
	var again outcome
	until(t, "the store has found the server again", func() bool {
		again = record(t, store, sell("k", keyed("key"), costing(7)))
		return again.err == nil
	})
	if got.err == nil && !again.Replayed {
		t.Error("a sale that was answered was lost")
	}
	if n := testenv.Value[int](db, "SELECT count(*) FROM hoko.sales WHERE amount = 7"); n != 1 {
		t.Errorf("%d sales, want 1", n)
	}
}

func TestMetrics_NamedOnce(t *testing.T) {
	registry := prometheus.NewRegistry()
	shop := openShop(t)
	mustRecord(t, shop.Store(withMetrics(registry)), sell("k"))
	families, err := registry.Gather()
	testenv.NoError(t, err)
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	want := "hoko_sale_batch_size hoko_sale_queue_seconds hoko_sale_retries_total hoko_sale_shed_total " +
		"hoko_sale_slow_lane_total hoko_sale_statement_failures_total hoko_sale_statement_seconds"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("metrics %s, want %s", got, want)
	}
}
