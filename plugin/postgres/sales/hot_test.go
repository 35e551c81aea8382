package sales_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/sale"
)

func (s *shop) edgesOf(n int) (all []edge) {
	s.T.Helper()
	for range n {
		all = append(all, s.edge())
	}
	return all
}

// rush runs a number of clients on each edge at the same time. A client sends its next sale after
// the answer to the last one, until next returns nil.
func rush(t *testing.T, edges []edge, clients int, next func(edge, client, n int) *sale.Sale) (sold []outcome) {
	t.Helper()
	var mu sync.Mutex
	var work sync.WaitGroup
	open := make(chan struct{})
	for e := range edges {
		for client := range clients {
			work.Go(func() {
				<-open
				for n := 0; ; n++ {
					s := next(e, client, n)
					if s == nil {
						return
					}
					got := record(t, edges[e].Store, s)
					if got.err != nil {
						t.Error(got.err)
						return
					}
					if got.SaleID != s.ID || got.Customer.ExternalID != s.Request.CustomerExternalID ||
						got.Customer.Name != s.Request.CustomerName {
						t.Errorf("answered %+v to %+v", got, s.Request)
					}
					mu.Lock()
					sold = append(sold, got)
					mu.Unlock()
				}
			})
		}
	}
	close(open)
	work.Wait()
	return sold
}

// expectSold checks that each sale is stored once, for the customer in its answer, and that
// customers are unique.
func (s *shop) expectSold(sold []outcome, want, customers int) {
	s.T.Helper()
	if len(sold) != want {
		s.T.Errorf("%d sales are recorded, want %d", len(sold), want)
	}
	var ids, of []string
	for _, got := range sold {
		ids, of = append(ids, got.SaleID.String()), append(of, got.Customer.ID)
	}
	const stored = `SELECT count(*) FROM unnest($1::uuid[], $2::text[]) AS answered (id, customer_id)
		JOIN hoko.sales USING (id, customer_id) JOIN hoko.customers c ON c.id = customer_id`
	if n := testenv.Value[int](s.DB, stored, ids, of); n != want {
		s.T.Errorf("%d sales are stored as answered, want %d", n, want)
	}
	s.expectSales(s.T, want, "true")
	if n := testenv.Value[int](s.DB, "SELECT count(*) FROM hoko.customers"); n != customers {
		s.T.Errorf("%d customers are stored, want %d", n, customers)
	}
}

func TestHotCustomer_OnManyEdges(t *testing.T) {
	const edges, clients, sales = 4, 200, 3 // more at the same time than a batch holds
	for _, c := range []struct {
		name    string
		changes func(n int) bool
	}{
		{"that no sale changes", func(int) bool { return false }},
		{"that some sales change", func(n int) bool { return n%3 == 0 }},
		{"that each sale changes", func(int) bool { return true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			shop := openShop(t)
			shop.Exec(`INSERT INTO hoko.customers (id, workspace_id, external_id, name, email, avatar)
				VALUES ('hot', 'w1', 'hot', 'hot', 'hot', 'hot')`)
			all := shop.edgesOf(edges)
			sold := rush(t, all, clients, func(edge, client, n int) *sale.Sale {
				if n == sales {
					return nil
				}
				name := "hot"
				if c.changes(n) {
					name = fmt.Sprint(edge, "-", client, "-", n)
				}
				return sell("hot", named(name), mailing(set(name)), pictured(set(name)))
			})
			shop.expectSold(sold, edges*clients*sales, 1)
			for _, got := range sold {
				if got.Customer.ID != "hot" || text(got.Customer.Email) != got.Customer.Name ||
					text(got.Customer.Avatar) != got.Customer.Name {
					t.Errorf("answered %+v", got.Customer)
				}
			}
			shop.expectRows(t, "", "SELECT FROM hoko.customers WHERE (email, avatar) <> (name, name)")
			shop.expectNoDeadlock(all...)
		})
	}
}

func TestNewCustomers_OneForEachSale(t *testing.T) {
	const edges, clients, sales = 4, 16, 10
	shop := openShop(t)
	all := shop.edgesOf(edges)
	sold := rush(t, all, clients, func(edge, client, n int) *sale.Sale {
		if n == sales {
			return nil
		}
		return sell(fmt.Sprint("new", edge, "-", client, "-", n))
	})
	shop.expectSold(sold, edges*clients*sales, edges*clients*sales)
	shop.expectNoDeadlock(all...)
}

// Every client of every edge sells to all customers, in a different order.
func TestNewCustomers_SameOnEveryEdge(t *testing.T) {
	const edges, clients = 6, 8
	for _, customers := range []int{1, 20} {
		t.Run(fmt.Sprint(customers, " of them"), func(t *testing.T) {
			shop := openShop(t)
			all := shop.edgesOf(edges)
			var orders [edges][clients][]int
			for e := range orders {
				for client := range orders[e] {
					orders[e][client] = rand.New(rand.NewPCG(uint64(e), uint64(client))).Perm(customers)
				}
			}
			sold := rush(t, all, clients, func(edge, client, n int) *sale.Sale {
				if n == customers {
					return nil
				}
				return sell(fmt.Sprint("new", orders[edge][client][n]))
			})
			shop.expectSold(sold, edges*clients*customers, customers)
			for _, e := range all { // a second INSERT is no error, so it does not cost its batch another try
				if n := failures(t, e.metrics, "23"); n != 0 {
					t.Errorf("%v statements failed for a duplicate", n)
				}
			}
			shop.expectNoDeadlock(all...)
		})
	}
}
