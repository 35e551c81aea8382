package failure

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// coldKey is a valid key that is not cached.
const coldKey = "cold_key_that_no_edge_has_seen"

// postgresOutages lists the ways in which Postgres fails. inject returns the end of the outage.
var postgresOutages = []struct {
	name    string
	inject  func(t *testing.T, p *brokenPostgres) (fix func())
	lookups bool   // key lookups fail too
	first   int    // status of the first sale; 0 for any status of an outage
	counted string // a metric of sales besides their outcome
	logged  string
}{
	{"refused", func(t *testing.T, p *brokenPostgres) func() {
		p.Stop()
		return func() { p.Start(t) }
	}, true, 503, "", "no database to record sales"},
	{"killed", func(t *testing.T, p *brokenPostgres) func() {
		p.Kill()
		return func() { p.Start(t) }
	}, true, 0, "", "no database to record sales"},
	{"mute", func(t *testing.T, p *brokenPostgres) func() {
		return p.Freeze(t)
	}, true, 504, "", "a database connection was lost during a statement"},
	{"slow", func(t *testing.T, p *brokenPostgres) func() {
		p.Exec(raising("PERFORM pg_sleep(60)"))
		lock := harness.Connect(t, p.dsn)
		lock.Exec("BEGIN; LOCK hoko.api_keys")
		return func() {
			lock.Exec("ROLLBACK")
			p.Exec("DROP FUNCTION public.fail CASCADE")
		}
	}, true, 503, `hoko_sale_statement_failures_total{class="53"}`, "sales cannot be recorded"},
	{"disk full", func(t *testing.T, p *brokenPostgres) func() {
		return p.fillDisk(t)
	}, false, 503, `hoko_sale_statement_failures_total{class="53"}`, "sales cannot be recorded"},
	{"out of connections", func(t *testing.T, p *brokenPostgres) func() {
		return p.fill(t)
	}, true, 503, "", "no database to record sales"},
}

// raising returns SQL for a trigger on the sales that executes what.
func raising(what string) string {
	return `CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ` + what + `; RETURN NEW; END $$;
		CREATE TRIGGER fail BEFORE INSERT ON hoko.sales FOR EACH ROW EXECUTE FUNCTION public.fail()`
}

type brokenPostgres struct {
	*testenv.OwnPostgres
	harness.DB
	dsn string
}

// postgresRoom is the max_connections of a brokenPostgres, enough for an edge.
const postgresRoom = 30

func breakablePostgres(t *testing.T) *brokenPostgres {
	t.Helper()
	server := testenv.PostgresWith(t, map[string]string{"max_connections": strconv.Itoa(postgresRoom)})
	dsn := server.DSN("postgres")
	return &brokenPostgres{server, migrateAndSeed(t, dsn), dsn}
}

// fillDisk moves the sales to a full disk. If it cannot mount one, a trigger raises the same error.
func (p *brokenPostgres) fillDisk(t *testing.T) (fix func()) {
	t.Helper()
	disk, ok := p.SmallDisk(t, 1<<20)
	if !ok {
		t.Log("cannot mount a small disk: a trigger raises 53100 instead")
		p.Exec(raising("RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'"))
		return func() { p.Exec("DROP FUNCTION public.fail CASCADE") }
	}
	p.Exec("CREATE TABLESPACE small LOCATION '" + disk + "'")
	p.Exec("ALTER TABLE hoko.sales SET TABLESPACE small")
	rest := filepath.Join(disk, "rest")
	if err := os.WriteFile(rest, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	// The last page still has room. Rows that are rolled back fill it until it is vacuumed.
	_, err := p.Conn.Exec(t.Context(),
		`INSERT INTO hoko.sales (id, workspace_id, customer_id, link_id, attribution, amount, currency, event_name)
		SELECT gen_random_uuid(), 'ws_1', 'c', 'l', 'click', 1, 'usd', 'e' FROM generate_series(1, 10000)`)
	if refusal, ok := errors.AsType[*pgconn.PgError](err); !ok || refusal.Code != pgerrcode.DiskFull {
		t.Fatalf("the table is not full: %v", err)
	}
	return func() { testenv.NoError(t, os.Remove(rest)) }
}

// fill takes all connections of the server, including those of the edge.
func (p *brokenPostgres) fill(t *testing.T) (empty func()) {
	t.Helper()
	var held []*pgx.Conn
	for guard := time.Now().Add(harness.HangGuard); len(held) < postgresRoom-1; { // p holds one
		if time.Now().After(guard) {
			t.Fatalf("only %d connections are taken", len(held))
		}
		p.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hoko-edge'")
		for {
			conn, err := pgx.Connect(t.Context(), p.dsn)
			if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == pgerrcode.TooManyConnections {
				break
			}
			testenv.NoError(t, err)
			held = append(held, conn)
		}
	}
	return func() {
		for _, conn := range held {
			conn.Close(t.Context())
		}
	}
}

func TestPostgresOutage_Is503AndHeals(t *testing.T) {
	for _, outage := range postgresOutages {
		t.Run(outage.name, func(t *testing.T) {
			t.Parallel() // mostly waiting
			p := breakablePostgres(t)
			p.AddKey(coldKey, "conversionsWrite")
			s := startOutageStack(t, p.dsn, testenv.Redis(t), manyCalls)
			answers := asked{}
			harness.WantStatus(t, s.askInOutage(answers), 201)
			fix := outage.inject(t, p)
			for i := range 2 {
				got := s.askInOutage(answers)
				if got.StatusCode == 201 || i == 0 && outage.first != 0 && got.StatusCode != outage.first {
					t.Errorf("sale %d of the outage: %d %s", i, got.StatusCode, got.Text)
				}
			}
			s.want503(s.SellAs(t, s.client, coldKey))
			if outage.lookups {
				s.want503(s.link("unknown_key"))
				s.until("a stale key is used", func() bool {
					harness.WantStatus(t, s.link(harness.FullKey), 200)
					return s.metric("hoko_key_stale_total") > 0
				})
				s.wantMetric(`hoko_auth_total{outcome="unavailable"}`, 2)
				s.wantMetric(`hoko_key_lookups_total{result="error"}`, 1)
				s.logs("key lookups fail, serving cached keys")
			}
			s.wantSite()
			s.wantMetric(`hoko_sales_total{outcome="not_recorded"}`, 1)
			if outage.first == 504 {
				s.wantMetric(`hoko_sales_total{outcome="unknown"}`, 1)
			}
			if outage.counted != "" {
				s.wantMetric(outage.counted, 1)
			}
			s.logs(outage.logged)

			fix()
			s.verify(harness.Connect(t, p.dsn), answers)
			harness.WantStatus(t, s.SellAs(t, s.client, coldKey), 201)
			s.until("the listener is up again", func() bool { return s.metric("hoko_key_listener_up") == 1 })
		})
	}
}

func TestPostgresRestart_CostsOneRetry(t *testing.T) {
	server := testenv.Postgres(t)
	dsn := server.DSN("postgres")
	migrateAndSeed(t, dsn)
	s := startOutageStack(t, dsn, testenv.Redis(t), manyCalls)
	answers := asked{}
	for i := range 3 {
		s.until("a sale is recorded", func() bool { return s.askInOutage(answers).StatusCode == 201 })
		if i == 2 {
			break
		}
		server.Stop()
		server.Start(t)
	}
	s.verify(harness.Connect(t, dsn), answers)
}

func TestPostgresFailover_LosesNoAnsweredSale(t *testing.T) {
	pair := testenv.Replicated(t)
	dsn := pair.DSN("postgres")
	migrateAndSeed(t, dsn)
	s := startOutageStack(t, dsn, testenv.Redis(t), manyCalls)
	answers := asked{}
	for range 3 {
		harness.WantStatus(t, s.askInOutage(answers), 201)
	}
	pair.Standby().Kill()
	harness.WantStatus(t, s.askInOutage(answers), 504)

	// The primary dies with a sale that no standby has, and returns. The sale must be recorded.
	s.until("the previous sale no longer waits", func() bool { return pair.Waiting(t) == 0 })
	late := make(chan harness.Answer, 1)
	go func() { late <- s.ask(500) }()
	s.until("it waits for the standby", func() bool { return pair.Waiting(t) == 1 })
	pair.Primary().Kill()
	pair.Primary().Start(t)
	pair.Standby().Start(t)
	pair.AwaitStandby(t)
	if answers[500] = (<-late).StatusCode; answers[500] == 503 {
		t.Error("a sale that is recorded was answered 503")
	}
	s.until("sales are recorded with the standby", func() bool { return s.askInOutage(answers).StatusCode == 201 })

	pair.Primary().Kill()
	for range 2 {
		if got := s.askInOutage(answers); got.StatusCode == 201 {
			t.Error("a sale was recorded without a primary")
		}
	}
	pair.Promote(t)
	d := harness.Connect(t, dsn)
	s.verify(d, answers)
	s.until("the edge listens to the new primary", func() bool { return s.metric("hoko_key_listener_up") == 1 })
	d.Exec("UPDATE hoko.api_keys SET revoked_at = now() WHERE id = $1", harness.KeyID(harness.FullKey))
	s.until("the key is rejected", func() bool { return s.link(harness.FullKey).StatusCode == 401 })
}
