package sales_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

// crowd is how many customers share the load. Of every three, one is known and stays unchanged, one
// is known and changes with each sale, and one is new.
const crowd = 1000

func (s *shop) admitCrowd() {
	s.T.Helper()
	s.Exec(`INSERT INTO hoko.customers (workspace_id, external_id, name) SELECT 'w1', 'known' || i, 'known' || i
		FROM generate_series(1, $1) i WHERE i % 3 > 0`, crowd)
}

func crowdSale(i, n int) *sale.Sale {
	switch i % 3 {
	case 0:
		return sell(fmt.Sprint("new", i))
	case 1:
		return sell(fmt.Sprint("known", i))
	default:
		return sell(fmt.Sprint("known", i), named(fmt.Sprint("name", n)))
	}
}

// serveCrowd sells twice to each customer of the crowd, many at a time, and calls during
// repeatedly.
func serveCrowd(t *testing.T, edge edge, during func()) {
	t.Helper()
	const clients, sales = 64, 2 * crowd
	var next atomic.Int64
	var work sync.WaitGroup
	for range clients {
		work.Go(func() {
			for n := int(next.Add(1)); n <= sales; n = int(next.Add(1)) {
				if n%(sales/10) == 0 {
					during()
				}
				if got := record(t, edge.Store, crowdSale(n%crowd, n)); got.err != nil {
					t.Errorf("sale %d of the load: %v", n, got.err)
					return
				}
			}
		})
	}
	work.Wait()
}

// held is sales that wait for another session's lock, each with its deadline.
type held struct {
	t       *testing.T
	store   *sales.Store
	timeout time.Duration

	mu    sync.Mutex
	began []heldSale
}

type heldSale struct {
	*sale.Sale
	done <-chan timed
}

type timed struct {
	outcome
	took time.Duration
}

func (h *held) begin(s *sale.Sale) {
	done, start := make(chan timed, 1), time.Now()
	answer := beginWithin(h.t, h.store, s, h.timeout)
	go func() { done <- timed{<-answer, time.Since(start)} }()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began = append(h.began, heldSale{s, done})
}

// answered waits for all answers, and checks that each comes by its deadline.
func (h *held) answered(each func(*sale.Sale, outcome)) {
	h.t.Helper()
	const busy = 2 * time.Second // for a busy machine
	for _, s := range h.began {
		select {
		case got := <-s.done:
			if got.took > h.timeout+busy {
				h.t.Errorf("%s: answered after %v, its deadline was %v", s.Request.CustomerExternalID,
					got.took, h.timeout)
			}
			each(s.Sale, got.outcome)
		case <-time.After(testenv.HangGuard):
			h.t.Fatalf("%s: no answer", s.Request.CustomerExternalID)
		}
	}
}

// givenUp reports whether err is an answer to a sale whose customer was not released by its
// deadline. On a busy machine, the wait may end too late to prove that nothing was recorded.
func givenUp(err error) bool {
	return errors.Is(err, sale.ErrNotRecorded) || isUnknown(err)
}

func (h *held) unanswered() {
	h.t.Helper()
	for _, s := range h.began {
		select {
		case got := <-s.done:
			h.t.Errorf("%s: answered while it is held: %+v", s.Request.CustomerExternalID, got.outcome)
		default:
		}
	}
}

type edge struct {
	*sales.Store
	metrics *prometheus.Registry
}

func (s *shop) edge(change ...func(*postgres.Options)) edge {
	s.T.Helper()
	metrics := prometheus.NewRegistry()
	return edge{s.Store(append(change, withMetrics(metrics))...), metrics}
}

// expectNoDeadlock closes the edges first, as a session reports its deadlocks by its end.
func (s *shop) expectNoDeadlock(of ...edge) {
	s.T.Helper()
	for _, e := range of {
		if err := e.Close(testenv.Guarded(s.T)); err != nil {
			s.T.Error(err)
		}
		if n := failures(s.T, e.metrics, "40"); n != 0 {
			s.T.Errorf("%v statements failed for a deadlock", n)
		}
	}
	until(s.T, "the edges' sessions have ended", func() bool { return s.connections() == 0 })
	s.expectRows(s.T, "(0)", "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

// failures returns how many statements have failed with this class of SQLSTATE.
func failures(t testing.TB, r *prometheus.Registry, class string) float64 {
	t.Helper()
	families, err := r.Gather()
	testenv.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "hoko_sale_statement_failures_total" && m.GetLabel()[0].GetValue() == class {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no failures of the class %s", class)
	return 0
}

func TestLoad_PassesLockedAndNewCustomers(t *testing.T) {
	for _, c := range []struct {
		name     string
		timeout  time.Duration // of the sales that wait
		released bool
	}{
		{"and the locks are released", testenv.HangGuard, true},
		{"and the locks stay", 1500 * time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			shop := openShop(t)
			shop.admitCrowd()
			edge := shop.edge()
			before := mustRecord(t, edge.Store, sell("locked"))
			locker := shop.Lock(lockCustomer, "locked")
			creator := shop.Lock(`INSERT INTO hoko.customers (id, workspace_id, external_id)
				VALUES ('created', 'w1', 'in creation')`)

			waiting := &held{t: t, store: edge.Store, timeout: c.timeout}
			hold := func() {
				waiting.begin(sell("locked", named("changed"), costing(7)))
				waiting.begin(sell("in creation", costing(7)))
			}
			hold()
			until(t, "the slow lane has both", func() bool { return edge.Stats().SlowCustomers == 2 })
			serveCrowd(t, edge, hold)
			shop.expectSales(t, 2*crowd, "customer_id <> $1", before.Customer.ID)
			if c.released {
				waiting.unanswered()
				locker.Exec("COMMIT")
				creator.Exec("COMMIT")
			}
			ids := map[string]string{"locked": before.Customer.ID, "in creation": "created"}
			waiting.answered(func(s *sale.Sale, got outcome) {
				customer := s.Request.CustomerExternalID
				switch {
				case got.err == nil != c.released || !c.released && !givenUp(got.err):
					t.Errorf("%s: %v", customer, got.err)
				case got.err == nil && got.Customer.ID != ids[customer]:
					t.Errorf("%s: answered the customer %s, want %s", customer, got.Customer.ID, ids[customer])
				}
			})
			stored := 0
			if c.released {
				stored = len(waiting.began)
			}
			shop.expectSales(t, stored, "amount = 7")
			shop.expectNoDeadlock(edge)
		})
	}
}

// More customers are locked or in creation than the slow lane has connections.
func TestHeldCustomers_WaitUntilTheirDeadlinesAtMost(t *testing.T) {
	t.Parallel() // it mostly waits
	shop := openShop(t)
	edge := shop.edge()
	const freed, customers = 4, 12 // the first ones are released, the others stay held
	var sessions [customers]testenv.DB
	var waiting [customers]*held
	for i := range customers {
		customer := fmt.Sprint("held", i)
		if i%2 == 0 {
			mustRecord(t, edge.Store, sell(customer))
			sessions[i] = shop.Lock(lockCustomer, customer)
		} else {
			sessions[i] = shop.Lock("INSERT INTO hoko.customers (workspace_id, external_id) VALUES ('w1', $1)",
				customer)
		}
		waiting[i] = &held{t: t, store: edge.Store, timeout: 5*time.Second + time.Duration(i)*50*time.Millisecond}
	}
	for i, w := range waiting {
		for n := range 2 {
			w.begin(sell(fmt.Sprint("held", i), named(fmt.Sprint("changed", n)), costing(7)))
		}
	}
	until(t, "the slow lane has them", func() bool { return edge.Stats().SlowCustomers == customers })
	for i, w := range waiting[:freed] {
		w.unanswered()
		sessions[i].Exec("COMMIT")
	}
	for i, w := range waiting {
		w.answered(func(s *sale.Sale, got outcome) {
			if released := i < freed; got.err == nil != released || !released && !givenUp(got.err) {
				t.Errorf("%s, released %v: %v", s.Request.CustomerExternalID, released, got.err)
			}
		})
	}
	shop.expectSales(t, 2*freed, "amount = 7")
	shop.expectNoDeadlock(edge)
}

// As when the site updates many customers in one transaction.
func TestSiteTransaction_ReleasesManyCustomers(t *testing.T) {
	shop := openShop(t)
	shop.admitCrowd()
	edge := shop.edge()
	session := shop.Lock("UPDATE hoko.customers SET phone = '123'")
	waiting := &held{t: t, store: edge.Store, timeout: testenv.HangGuard}
	const customers = 100
	for i := range customers {
		waiting.begin(crowdSale(3*i+2, 1))
	}
	until(t, "the slow lane has them", func() bool { return edge.Stats().SlowCustomers == customers })
	if n := failures(t, edge.metrics, "55"); n >= customers { // the slow lane waits round robin
		t.Errorf("%v statements had to wait for a lock: writers among them", n)
	}
	for i := range customers / 2 {
		mustRecord(t, edge.Store, crowdSale(3*i, 1))   // new
		mustRecord(t, edge.Store, crowdSale(3*i+1, 1)) // left as it is
	}
	waiting.unanswered()
	session.Exec("COMMIT")
	waiting.answered(func(s *sale.Sale, got outcome) {
		if got.err != nil || text(got.Customer.Phone) != "123" {
			t.Errorf("%s: %+v", s.Request.CustomerExternalID, got)
		}
	})
	n := testenv.Value[int](shop.DB, "SELECT count(*) FROM hoko.customers WHERE name = 'name1' AND phone = '123'")
	if n != customers {
		t.Errorf("%d customers are changed, want %d", n, customers)
	}
	shop.expectNoDeadlock(edge)
}
