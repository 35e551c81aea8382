package order_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

var (
	orderSeed = flag.Uint64("order.seed", 1, "the first seed of the tests of sales' order")
	orderFor  = flag.Duration("order.for", 0, "how long they run in all, with random seeds")
)

// workloads are those of TestSales_ConcurrentOnesHaveAnOrder.
var workloads = []workload{
	{edges: 1, writers: 1, batch: 128, callers: 48},
	{edges: 2, writers: 4, batch: 16, callers: 32},
	{edges: 2, writers: 2, batch: 16, callers: 32, adopted: true},
	{edges: 3, writers: 2, batch: 2, callers: 24, joint: 10},
	{edges: 4, writers: 1, batch: 1, callers: 16, joint: 20},
}

// withSeeds runs f with n seeds, or with random ones for the duration in orderFor.
func withSeeds(t *testing.T, n uint64, f func(t *testing.T, seed uint64)) {
	run := func(seed uint64) {
		t.Run(fmt.Sprintf("-order.seed=%d", seed), func(t *testing.T) { f(t, seed) })
	}
	share := *orderFor / time.Duration(len(workloads)+1)
	for end := time.Now().Add(share); time.Now().Before(end); {
		run(rand.Uint64() >> 1)
	}
	for seed := *orderSeed; *orderFor == 0 && seed < *orderSeed+n; seed++ {
		run(seed)
	}
}

func TestSales_OneByOneMatchTheModel(t *testing.T) {
	withSeeds(t, 3, func(t *testing.T, seed uint64) {
		const count = 200
		shop, script := pgtest.OpenShop(t), newScript(seed, 1, 50)
		script.populate(shop, count, seed%2 == 0)
		w, l := readWorld(shop.DB), readLedger(shop.DB)
		here := &stage{[]*sales.Store{shop.Store(workload{writers: 1, batch: 1}.options)}, shop.DB}
		for len(script.sales) < count {
			if script.chance(5) {
				script.grow(shop, l)
				w = readWorld(shop.DB)
			}
			a := script.act()
			told := a.perform(here)
			var want answer
			if want, l = a.step(w, l, told); want != told {
				t.Fatalf("%v\ntold %v\nwant %v", a, told, want)
			}
		}
		if wrong := l.stored().differs(readLedger(shop.DB)); wrong != "" {
			t.Error(wrong)
		}
	})
}

// Many callers, several edges and the site: some sequential order of all acts explains every answer
// and the stored rows.
func TestSales_ConcurrentOnesHaveAnOrder(t *testing.T) {
	for _, m := range workloads {
		t.Run(m.String(), func(t *testing.T) { withSeeds(t, 2, m.sell) })
	}
}

// workload is how many callers and edges sell at the same time.
type workload struct {
	edges, writers, batch, callers int
	adopted                        bool
	joint                          int // as in script; with many callers, the search takes long
}

func (m workload) String() string {
	name := fmt.Sprintf("%d edges of %d writers of %d", m.edges, m.writers, m.batch)
	if m.adopted {
		name += " over views"
	}
	return name
}

func (m workload) sell(t *testing.T, seed uint64) {
	shop, script := pgtest.OpenShop(t), newScript(seed, m.edges, m.joint)
	sold, changes := script.parallel(m.callers, 6, 12*m.callers)
	script.populate(shop, len(script.sales), m.adopted)
	w, start := readWorld(shop.DB), readLedger(shop.DB)
	metrics := prometheus.NewRegistry()
	edges := []*sales.Store{shop.Store(m.options, func(o *postgres.Options) { o.Metrics = metrics })}
	for len(edges) < m.edges {
		edges = append(edges, shop.Store(m.options))
	}

	h := newHistory()
	var work sync.WaitGroup
	for _, acts := range sold {
		work.Go(func() { h.perform(&stage{edges: edges}, acts) })
	}
	for _, acts := range changes {
		site := &stage{site: shop.Another()}
		work.Go(func() { h.perform(site, acts) })
	}
	work.Wait()
	h.check(t, w, start, readLedger(shop.DB))

	if n := h.results()[wasRecorded]; n < len(script.sales)/3 {
		t.Errorf("%d of %d sales were recorded: too few to tell", n, len(script.sales))
	}
	if n, sold := pgtest.Statements(t, metrics); m.edges == 1 && sold < 1.5*float64(n) {
		t.Errorf("%v sales in %d statements: too few for batches to tell", sold, n)
	}
}

func (m workload) options(o *postgres.Options) { o.Writers, o.Batch = m.writers, m.batch }

type act interface {
	// perform applies the act to the database.
	perform(*stage) answer
	// step applies it to the model; told is the answer of perform.
	step(w *world, l ledger, told answer) (answer, ledger)
	// touches returns the customers, sale IDs and keys that it depends on.
	touches() []any
	String() string
}

type stage struct {
	edges []*sales.Store
	site  testenv.DB
}

type saleAct struct {
	*sale.Sale
	edge int
}

func (a saleAct) perform(s *stage) answer {
	ctx, cancel := context.WithTimeout(context.Background(), testenv.HangGuard)
	defer cancel()
	sent := *a.Sale // which Record changes, and others send at the same time
	return told(s.edges[a.edge].Record(ctx, &sent))
}

func told(r *sale.Recorded, err error) answer {
	switch {
	case errors.Is(err, sale.ErrUnattributed):
		return answer{result: wasUnattributed}
	case errors.Is(err, sale.ErrIdempotencyMismatch):
		return answer{result: wasMismatch}
	case pgtest.IsUnknown(err):
		return answer{result: wasUnknown}
	case errors.Is(err, sale.ErrNotRecorded) && strings.Contains(err.Error(), "too many sales wait"):
		return answer{result: wasShed}
	case err != nil:
		return answer{result: err.Error()}
	}
	a := answer{
		result: wasRecorded, saleID: r.SaleID, attribution: string(r.Attribution), click: pgtest.Text(r.ClickID),
		link:     linkText(r.Link),
		external: r.Customer.ExternalID,
		customer: customerRow{r.Customer.ID, r.Customer.Name, pgtest.Text(r.Customer.Email),
			pgtest.Text(r.Customer.Phone), pgtest.Text(r.Customer.Avatar), false},
		amount: r.Amount, currency: r.Currency, event: r.EventName, metadata: string(r.Metadata),
	}
	if r.Replayed {
		a.result = wasReplayed
	}
	return a
}

func (a saleAct) step(w *world, l ledger, told answer) (answer, ledger) {
	if told.result == wasShed {
		return told, l
	}
	return w.record(l, a.Sale, told)
}

func (a saleAct) touches() []any {
	all := []any{a.name(), a.ID}
	if a.IdempotencyKey != "" {
		all = append(all, keyName{a.WorkspaceID, a.IdempotencyKey})
	}
	return all
}

func (a saleAct) name() customerName {
	return customerName{a.WorkspaceID, a.Request.CustomerExternalID}
}

func (a saleAct) String() string {
	r := a.Request
	return fmt.Sprintf("edge %d: %v of %s/%s %q email %s avatar %s, lead %q click %q, key %q, %d %s %q %s", a.edge,
		a.ID, a.WorkspaceID,
		r.CustomerExternalID, r.CustomerName, optionalText(r.CustomerEmail), optionalText(r.CustomerAvatar),
		r.LeadEventName, r.ClickID,
		a.IdempotencyKey, r.Amount, r.Currency, r.EventName, r.Metadata)
}

func TestSearch_FindsTheOrderIfThereIsOne(t *testing.T) {
	w := &world{
		links:  map[string]linkRow{"l1": {"w1", "the link"}},
		clicks: map[string]clickRow{"c1": {"w1", "l1"}},
	}
	k, byC1 := customerName{"w1", "k"}, credit{string(sale.Click), "c1", "l1", "null"}
	customer := func(name, email string) customerRow { return customerRow{"k1", name, email, "null", "null", false} }
	start := ledger{map[customerName]customerRow{k: customer("n0", "e0")}, map[uuid.UUID]soldRow{}, nil}
	at := func(begun, ended int64, s *sale.Sale, email string) call {
		return call{saleAct{s, 0}, begun, ended, w.answer(s, s.ID, byC1, customer(s.Request.CustomerName, email))}
	}
	stored := func(name, email string, sales ...*sale.Sale) call {
		end := ledger{map[customerName]customerRow{k: customer(name, email)}, map[uuid.UUID]soldRow{}, nil}
		for _, s := range sales {
			end.sold[s.ID] = soldRow{"w1", "k1", byC1, 100, "usd", "Purchase", "null"}
		}
		return call{finding{end}, 9, 9, answer{}}
	}
	sets, keeps := pgtest.Sell("k", pgtest.WithName("n1"), pgtest.WithEmail(pgtest.Set("e1"))),
		pgtest.Sell("k", pgtest.WithName("n2"))
	for _, c := range []struct {
		name  string
		calls []call
		want  bool
	}{
		{"one after the other", []call{at(1, 2, sets, "e1"), at(3, 4, keeps, "e1"),
			stored("n2", "e1", sets, keeps)}, true},
		{"the first has not seen the second",
			[]call{at(1, 2, keeps, "e0"), at(3, 4, sets, "e1"), stored("n1", "e1", sets, keeps)}, true},
		{"the first has seen the second", []call{at(1, 2, keeps, "e1"), at(3, 4, sets, "e1"),
			stored("n2", "e1", sets, keeps)}, false},
		{"the first has seen the second at the same time",
			[]call{at(1, 3, keeps, "e1"), at(2, 4, sets, "e1"), stored("n2", "e1", sets, keeps)}, true},
		{"but its name is stored", []call{at(1, 3, keeps, "e1"), at(2, 4, sets, "e1"),
			stored("n1", "e1", sets, keeps)}, false},
		{"the second has not seen the first",
			[]call{at(1, 2, sets, "e1"), at(3, 4, keeps, "e0"), stored("n2", "e1", sets, keeps)}, false},
		{"something that was never stored", []call{at(1, 2, keeps, "e9"), stored("n2", "e9", keeps)}, false},
		{"a sale that is not stored", []call{at(1, 2, sets, "e1"), at(3, 4, keeps, "e1"),
			stored("n2", "e1", keeps)}, false},
		{"a sale without an answer", []call{at(1, 2, keeps, "e0"), stored("n2", "e0", sets, keeps)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if s := newSearch(w, c.calls); s.explain(start) != c.want {
				t.Errorf("explained %v, want %v: %v", !c.want, c.want, s)
			}
		})
	}
}
