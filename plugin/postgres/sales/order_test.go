package sales_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/sales"
)

var (
	orderSeed = flag.Uint64("order.seed", 1, "the first seed of the tests of sales' order")
	orderFor  = flag.Duration("order.for", 0, "how long they run in all, with random seeds")
)

// markets are the ways in which TestSalesAtOnceAreAsOneByOne sells.
var markets = []market{
	{edges: 1, writers: 1, batch: 128, callers: 48},
	{edges: 2, writers: 4, batch: 16, callers: 32},
	{edges: 2, writers: 2, batch: 16, callers: 32, adopted: true},
	{edges: 3, writers: 2, batch: 2, callers: 24, joint: 10},
	{edges: 4, writers: 1, batch: 1, callers: 16, joint: 20},
}

// withSeeds runs f with n seeds, or with random ones for as long as was asked.
func withSeeds(t *testing.T, n uint64, f func(t *testing.T, seed uint64)) {
	run := func(seed uint64) {
		t.Run(fmt.Sprintf("-order.seed=%d", seed), func(t *testing.T) { f(t, seed) })
	}
	share := *orderFor / time.Duration(len(markets)+1)
	for end := time.Now().Add(share); time.Now().Before(end); {
		run(rand.Uint64() >> 1)
	}
	for seed := *orderSeed; *orderFor == 0 && seed < *orderSeed+n; seed++ {
		run(seed)
	}
}

// One caller, one sale a statement: each answer is as promised.
func TestSalesOneByOneAreAsPromised(t *testing.T) {
	withSeeds(t, 3, func(t *testing.T, seed uint64) {
		const count = 200
		shop, script := openShop(t), newScript(seed, 1, 50)
		script.populate(shop, count, seed%2 == 0)
		w, l := readWorld(shop.DB), readLedger(shop.DB)
		here := &stage{[]*sales.Store{shop.Store(market{writers: 1, batch: 1}.options)}, shop.DB}
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

// Many callers, several edges, and the site in between: some order of all that they did, one by one, explains every
// answer and what is stored in the end.
func TestSalesAtOnceAreAsOneByOne(t *testing.T) {
	for _, m := range markets {
		t.Run(m.String(), func(t *testing.T) { withSeeds(t, 2, m.sell) })
	}
}

// market is callers who sell at the same time on so many edges.
type market struct {
	edges, writers, batch, callers int
	adopted                        bool
	joint                          int // as in a script: the search for an order takes long where there are many callers
}

func (m market) String() string {
	name := fmt.Sprintf("%d edges of %d writers of %d", m.edges, m.writers, m.batch)
	if m.adopted {
		name += " over views"
	}
	return name
}

func (m market) sell(t *testing.T, seed uint64) {
	shop, script := openShop(t), newScript(seed, m.edges, m.joint)
	sold, changes := script.parallel(m.callers, 6, 12*m.callers)
	script.populate(shop, len(script.sales), m.adopted)
	w, start := readWorld(shop.DB), readLedger(shop.DB)
	metrics := prometheus.NewRegistry()
	edges := []*sales.Store{shop.Store(m.options, withMetrics(metrics))}
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
		t.Errorf("%d of %d sold were recorded: too few to tell", n, len(script.sales))
	}
	if n, sold := statements(t, metrics); m.edges == 1 && sold < 1.5*float64(n) {
		t.Errorf("%v sold in %d statements: too few for batches to tell", sold, n)
	}
}

func (m market) options(o *postgres.Options) { o.Writers, o.Batch = m.writers, m.batch }
