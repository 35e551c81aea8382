package sales_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

func TestReplay_IsTheFirstAnswer(t *testing.T) {
	shop, store := openShopAndStore(t)
	shop.Exec(`INSERT INTO hoko.customers (id, workspace_id, external_id, name, phone)
		VALUES ('k1', 'w1', 'k', 'old', '123')`)
	shop.Exec(`INSERT INTO hoko.leads (workspace_id, customer_id, link_id, event_name)
		VALUES ('w1', 'k1', 'l2', 'Signup')`)
	for name, request := range map[string]func() *sale.Sale{
		"all members": func() *sale.Sale {
			return sell("k", keyed("k1"), named("N"), mailing(set("ä@example.com")), pictured(clear),
				noting(`{"z":1,"a":1.0}`), costing(0))
		},
		"as few as possible": func() *sale.Sale { return sell("k", keyed("k2"), byClick("")) },
	} {
		t.Run(name, func(t *testing.T) {
			first := mustRecord(t, store, request())
			if first.Replayed {
				t.Error("the first answer is a replay")
			}
			before := shop.Sales("true")
			mustRecord(t, store, sell("k", named("later"), mailing(set("later@example.com")),
				pictured(set("https://example.com/later"))))
			shop.Exec("UPDATE hoko.links SET url = 'later', title = 'later', utm = NULL")
			again := mustRecord(t, store, request())
			if !again.Replayed || again.SaleID != first.SaleID || again.Attribution != first.Attribution {
				t.Errorf("replayed %v, sale %v of %v, want %v of %v", again.Replayed, again.SaleID, again.Attribution,
					first.SaleID, first.Attribution)
			}
			if a, b := sale.AppendResponse(nil, first), sale.AppendResponse(nil, again); !bytes.Equal(a, b) {
				t.Errorf("answered\n%s\nand then\n%s", a, b)
			}
			shop.expectSales(t, before+1, "true")
			shop.expectRows(t, "(later)", "SELECT name FROM hoko.customers")
		})
	}
}

func TestIdempotencyKey_MismatchIfRequestDiffers(t *testing.T) {
	shop, store := openShopAndStore(t)
	mustRecord(t, store, sell("k", keyed("key")))
	const all = `SELECT to_jsonb(c) FROM hoko.customers c UNION ALL SELECT to_jsonb(s) FROM hoko.sales s
		UNION ALL SELECT to_jsonb(k) FROM hoko.idempotency_keys k`
	before := shop.Rows(all)
	for _, other := range []*sale.Sale{
		sell("k", keyed("key"), costing(101)),
		sell("another", keyed("key")),
		sell("k", keyed("key"), byClick("none")),
		sell("k", keyed("key"), named("new")),
		sell("k", keyed("key"), mailing(clear)),
	} {
		expectError(t, record(t, store, other), sale.ErrIdempotencyMismatch)
	}
	shop.expectRows(t, before, all)
	other := mustRecord(t, store, sell("k", keyed("key"), inWorkspace("w2"), byClick("y1")))
	if other.Replayed {
		t.Error("the key of another workspace was replayed")
	}
}

func TestIdempotencyKey_RemembersOnlyRecordedSales(t *testing.T) {
	shop, store := openShopAndStore(t)
	expectError(t, record(t, store, sell("k", keyed("key"), byClick("later"))), sale.ErrUnattributed)
	shop.Exec("INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('later', 'w1', 'l1')")
	if got := mustRecord(t, store, sell("k", keyed("key"), byClick("later"))); got.Replayed {
		t.Error("a replay of nothing")
	}
}

// The duplicates wait while the store connects, so that they could share a batch.
func TestDuplicates_InOneQueueAreOneSale(t *testing.T) {
	metrics := prometheus.NewRegistry()
	shop, wire, store := openTappedShop(t, withMetrics(metrics))
	outcomes := queue(t, store,
		sell("k", keyed("key")), sell("k", keyed("key")), sell("k", keyed("key"), costing(1)),
		sell("k", keyed("other key")), sell("k", keyed("key")))
	wire.Resume()
	first := wait(t, outcomes[0])
	if first.err != nil || first.Replayed {
		t.Fatalf("the first: %+v", first)
	}
	for _, i := range []int{1, 4} {
		duplicate := wait(t, outcomes[i])
		if duplicate.err != nil || !duplicate.Replayed || duplicate.SaleID != first.SaleID {
			t.Errorf("duplicate: %+v", duplicate)
		}
	}
	expectError(t, wait(t, outcomes[2]), sale.ErrIdempotencyMismatch)
	if got := wait(t, outcomes[3]); got.err != nil || got.Replayed {
		t.Errorf("another key: %+v", got)
	}
	shop.expectSales(t, 2, "true")
	if count, sales := statements(t, metrics); count != 4 || sales != 5 {
		t.Errorf("%d statements of %v sales, want 4 of 5: a separate one for each duplicate", count, sales)
	}
}

func TestDuplicates_OnTwoEdgesAreOneSale(t *testing.T) {
	shop := openShop(t)
	one, two := shop.Store(), shop.Store()
	const keys = 200
	var outcomes [2][keys]<-chan outcome
	for i := range keys {
		key, customer := keyed(fmt.Sprint("key", i)), fmt.Sprint("k", i%7)
		outcomes[0][i] = begin(t, one, sell(customer, key, named(fmt.Sprint(i))))
		outcomes[1][i] = begin(t, two, sell(customer, key, named(fmt.Sprint(i))))
	}
	for i := range keys {
		a, b := wait(t, outcomes[0][i]), wait(t, outcomes[1][i])
		if a.err != nil || b.err != nil {
			t.Fatal(a.err, b.err)
		}
		if a.Replayed == b.Replayed || a.SaleID != b.SaleID {
			t.Errorf("key %d: replayed %v and %v, sales %v and %v", i, a.Replayed, b.Replayed, a.SaleID, b.SaleID)
		}
		if x, y := sale.AppendResponse(nil, a.Recorded), sale.AppendResponse(nil, b.Recorded); !bytes.Equal(x, y) {
			t.Errorf("answered\n%s\nand\n%s", x, y)
		}
	}
	shop.expectSales(t, keys, "true")
}

func TestIdempotencyKey_MismatchOnTwoEdges(t *testing.T) {
	shop := openShop(t)
	edges := []*sales.Store{shop.Store(), shop.Store()}
	const keys = 100
	var outcomes [keys][2]<-chan outcome
	var neighbors []<-chan outcome
	for i := range keys {
		for e, edge := range edges {
			outcomes[i][e] = begin(t, edge, sell("k", keyed(fmt.Sprint("key", i)), costing(int64(e))))
			neighbors = append(neighbors, begin(t, edge, sell("k", costing(2))))
		}
	}
	for i := range keys {
		a, b := wait(t, outcomes[i][0]), wait(t, outcomes[i][1])
		if a.err != nil {
			a, b = b, a
		}
		if a.err != nil || a.Replayed || !errors.Is(b.err, sale.ErrIdempotencyMismatch) {
			t.Errorf("key %d: %+v and %+v", i, a, b)
		}
	}
	expectRecorded(t, neighbors...)
	if keyed, others := shop.Sales("amount < 2"), shop.Sales("amount = 2"); keyed != keys || others != len(neighbors) {
		t.Errorf("%d sales with a key and %d of neighbors, want %d and %d", keyed, others, keys, len(neighbors))
	}
}

// conflicting makes Postgres reject the next n statements with a key of the workspace, as if
// another edge had just committed that key.
func (s *shop) conflicting(workspace string, n int) {
	s.Exec("CREATE SEQUENCE public.conflicts")
	s.Exec(fmt.Sprintf(`CREATE FUNCTION public.conflict() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.workspace_id = '%s' AND nextval('public.conflicts') <= %d THEN
				RAISE unique_violation USING SCHEMA = 'hoko', TABLE = 'idempotency_keys',
					CONSTRAINT = 'idempotency_keys_pkey',
					DETAIL = format('Key (workspace_id, key)=(%%s, %%s) already exists.', NEW.workspace_id, NEW.key);
			END IF;
			RETURN NEW;
		END $$`, workspace, n))
	s.Exec(`CREATE TRIGGER conflict BEFORE INSERT ON hoko.idempotency_keys FOR EACH ROW
		EXECUTE FUNCTION public.conflict()`)
}

// counting counts the runs of a workspace's sales by their amounts, 1 to n, including runs that are
// rolled back.
func (s *shop) counting(workspace string, n int) (runs func() string) {
	for i := range n {
		s.Exec(fmt.Sprintf("CREATE SEQUENCE public.runs_%d", i+1))
	}
	s.Exec(fmt.Sprintf(`CREATE FUNCTION public.count_run() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.workspace_id = '%s' THEN
				PERFORM nextval('public.runs_' || NEW.amount);
			END IF;
			RETURN NEW;
		END $$`, workspace))
	s.Exec("CREATE TRIGGER count_run BEFORE INSERT ON hoko.sales FOR EACH ROW EXECUTE FUNCTION public.count_run()")
	return func() string {
		return s.Rows(`SELECT substr(sequencename, 6)::int AS amount, last_value FROM pg_sequences
			WHERE sequencename LIKE 'runs_%' AND last_value IS NOT NULL ORDER BY 1`)
	}
}

func TestDuplicates_CostNeighborsOneRun(t *testing.T) {
	shop, wire, store := openTappedShop(t)
	shop.conflicting("w2", 3)
	runs := shop.counting("w1", 3)
	duplicate := func(key string) *sale.Sale { return sell("duplicates", keyed(key), inWorkspace("w2"), byClick("y1")) }
	sales := []*sale.Sale{duplicate("a"), sell("k", costing(1)), duplicate("b"),
		sell("k", costing(2), named("changed"), keyed("a")), duplicate("c"), sell("new", costing(3))}
	outcomes := queueAndSend(t, wire, store, sales...)
	expectRecorded(t, outcomes...)
	if got, want := runs(), "(1,2)\n(2,2)\n(3,2)"; got != want {
		t.Errorf("the neighbors ran\n%s\nwant\n%s", got, want)
	}
	shop.expectSales(t, len(sales), "true")
}

// Another edge has sent the duplicate and not committed it. Postgres does not say for which key the
// statement waits.
func TestDuplicates_WaitCostsNeighborsTheHalvings(t *testing.T) {
	const neighbors = 40
	shop, wire, store := openTappedShop(t)
	runs := shop.counting("w1", neighbors)
	shop.Exec("INSERT INTO hoko.customers (workspace_id, external_id, name) VALUES ('w2', 'duplicates', 'duplicates')")
	shop.Exec(`INSERT INTO hoko.customers (workspace_id, external_id, name) SELECT 'w1', 'k' || i, 'k' || i
		FROM generate_series(1, $1) i`, neighbors)
	session := shop.Lock(`INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response)
		VALUES ('w2', 'duplicate', '', gen_random_uuid(), '{}')`)
	sales := []*sale.Sale{sell("duplicates", keyed("duplicate"), inWorkspace("w2"), byClick("y1"))}
	for i := 1; i <= neighbors; i++ {
		sales = append(sales, sell(fmt.Sprint("k", i), keyed(fmt.Sprint(i)), costing(int64(i))))
	}
	outcomes := queueAndSend(t, wire, store, sales...)
	expectRecorded(t, outcomes[1:]...)
	for run := range strings.Lines(runs()) {
		var neighbor, times int
		if _, err := fmt.Sscanf(run, "(%d,%d)", &neighbor, &times); err != nil || times > 7 {
			t.Errorf("(neighbor, runs) = %s %v", run, err)
		}
	}
	session.Exec("ROLLBACK")
	if got := wait(t, outcomes[0]); got.err != nil || got.Replayed {
		t.Errorf("the duplicate: %+v", got)
	}
}

// Three edges send duplicates all the time. The neighbors also have keys.
func TestDuplicates_FloodCostsNeighborsOneRun(t *testing.T) {
	const edges, duplicates, clients, each = 3, 8, 4, 25
	const neighbors = edges * clients * each
	shop := openShop(t)
	all := shop.edgesOf(edges)
	runs := shop.counting("w1", neighbors)
	shop.Exec("INSERT INTO hoko.customers (workspace_id, external_id, name) VALUES ('w2', 'duplicates', 'duplicates')")
	stop := make(chan struct{})
	var keys atomic.Int64
	var attackers sync.WaitGroup
	for e := range edges {
		for range duplicates {
			attackers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					key := fmt.Sprint(keys.Add(1) / edges) // about as many of each as there are edges
					all[e].Record(t.Context(), sell("duplicates", keyed(key), inWorkspace("w2"), byClick("y1")))
				}
			})
		}
	}
	sold := rush(t, all, clients, func(edge, client, n int) *sale.Sale {
		if n == each {
			return nil
		}
		number := (edge*clients+client)*each + n + 1
		return sell(fmt.Sprint("neighbor", edge, client), costing(int64(number)), keyed(fmt.Sprint(number)))
	})
	close(stop)
	attackers.Wait()
	var conflicts float64
	for _, e := range all {
		conflicts += failures(t, e.metrics, "23")
	}
	if conflicts == 0 {
		t.Error("no duplicates have met")
	}
	if len(sold) != neighbors {
		t.Errorf("%d neighbors are answered, want %d", len(sold), neighbors)
	}
	for run := range strings.Lines(runs()) {
		if run = strings.TrimSpace(run); !strings.HasSuffix(run, ",1)") && !strings.HasSuffix(run, ",2)") {
			t.Errorf("(neighbor, runs) = %s", run)
		}
	}
}

// The first try is committed on the primary, where the second finds it. The standby may never have
// it.
func TestUnknownOutcomeOfAReplay_NamesTheFirstSale(t *testing.T) {
	t.Parallel() // it mostly waits
	_, dsn, _ := pgtest.OwnServer(t)
	store := openStore(t, dsn)
	first := mustRecord(t, store, sell("k", keyed("K")))
	pgtest.SynchronousStandbys(t, dsn)("missing")
	got := wait(t, beginWithin(t, store, sell("k", keyed("K")), time.Second))
	unknown, ok := errors.AsType[*sale.UnknownOutcomeError](got.err)
	if !ok || unknown.SaleID != first.SaleID {
		t.Errorf("answered %v, want an unknown outcome of %s", got.err, first.SaleID)
	}
}
