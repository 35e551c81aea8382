package sales_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

// keepingSettings returns the address of a pooler that drops the sessions' settings.
func (s *shop) keepingSettings() (dsn string) {
	s.T.Helper()
	wire := pgtest.Tap(s.T, s.DSN).Working()
	wire.Refuses = func(parameters map[string]string) string {
		if _, set := parameters["plan_cache_mode"]; set {
			return "unsupported startup parameter: plan_cache_mode"
		}
		return ""
	}
	return wire.DSN
}

func (s *shop) set(setting string) {
	s.T.Helper()
	s.Exec("ALTER DATABASE " + s.Conn.Config().Database + " SET " + setting)
}

const (
	lockTable   = "LOCK TABLE hoko.sales IN ACCESS EXCLUSIVE MODE"
	waitsForIt  = "a lock on a table keeps sales from being recorded"
	unreachable = "no database to record sales"
)

func TestConnectingUnderATableLock_Waits(t *testing.T) {
	for name, settings := range map[string][]string{
		"lock_timeout kept by a pooler": nil,
		"statement_timeout of the role": {"statement_timeout = '100ms'"},
		"lock_timeout of the role":      {"statement_timeout = '5s'", "lock_timeout = '50ms'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shop := openShop(t)
			for _, setting := range settings {
				shop.set(setting)
			}
			var log testenv.Log
			store := openStore(t, shop.keepingSettings(), oneWriter,
				func(o *postgres.Options) { o.Logger = log.Logger() })
			session := shop.Lock(lockTable)
			sold := begin(t, store, sell("k"))
			until(t, "the log says so", func() bool { return log.Count(waitsForIt) > 0 })
			session.Exec("COMMIT")
			expectRecorded(t, sold)
			if log.Count(unreachable) > 0 {
				t.Errorf("logged %s", log.String())
			}
		})
	}
}

func TestSlowLaneThatConnectsUnderATableLock_Waits(t *testing.T) {
	t.Parallel()
	shop := openShop(t)
	var log testenv.Log
	store := shop.Store(oneWriter, func(o *postgres.Options) { o.Logger = log.Logger() })
	mustRecord(t, store, sell("held"))
	customer := shop.Lock(lockCustomer, "held")
	sold := begin(t, store, sell("held", named("changed")))
	until(t, "the slow lane waits for the customer",
		func() bool { return store.Stats().SlowCustomers > 0 && shop.blocked() > 0 })
	shop.Exec("BEGIN")
	shop.Exec("SET LOCAL lock_timeout = 0")
	shop.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE " + edges)
	shop.Exec(lockTable)
	customer.Exec("COMMIT")
	until(t, "the log says so", func() bool { return log.Count(waitsForIt) > 0 })
	shop.Exec("COMMIT")
	expectRecorded(t, sold)
}

// The setting in force decides when a statement is abandoned, whoever set it.
func TestStatementTimeout_InForceBehindAPooler(t *testing.T) {
	t.Parallel()
	shop := openShop(t)
	shop.set("statement_timeout = '200ms'")
	shop.set("lock_timeout = '50ms'")
	metrics := prometheus.NewRegistry()
	store := openStore(t, shop.keepingSettings(), oneWriter, withMetrics(metrics))
	mustRecord(t, store, sell("k"))
	shop.Exec(`CREATE FUNCTION public.hang() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'`)
	shop.Exec("CREATE TRIGGER hang BEFORE INSERT ON hoko.sales FOR EACH ROW EXECUTE FUNCTION public.hang()")
	start := time.Now()
	expectError(t, record(t, store, sell("k")), sale.ErrNotRecorded)
	if ours := 5 * time.Second; time.Since(start) > ours {
		t.Errorf("after %v, as if the edge's own statement_timeout were in force", time.Since(start))
	}
}
