package sales_test

import (
	"fmt"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/sale"
)

// More customers are locked, and in creation, than the slow lane has connections.
func TestHeldCustomersHoldUpOneAnotherNoLongerThanTheirDeadlines(t *testing.T) {
	shop := openShop(t)
	edge := shop.edge()
	const freed, customers = 4, 12 // the first ones are freed, the rest stays held
	var strangers [customers]testenv.DB
	var waiting [customers]*held
	for i := range customers {
		customer := fmt.Sprint("held", i)
		if i%2 == 0 {
			mustRecord(t, edge.Store, sell(customer))
			strangers[i] = shop.Lock(lockCustomer, customer)
		} else {
			strangers[i] = shop.Lock("INSERT INTO hoko.customers (workspace_id, external_id) VALUES ('w1', $1)", customer)
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
		strangers[i].Exec("COMMIT")
	}
	for i, w := range waiting {
		w.answered(func(s *sale.Sale, got outcome) {
			if released := i < freed; got.err == nil != released || !released && !givenUp(got.err) {
				t.Errorf("%s, released %v: %v", s.Request.CustomerExternalID, released, got.err)
			}
		})
	}
	if n := shop.Sales("amount = 7"); n != 2*freed {
		t.Errorf("%d of the sales that waited are stored, want %d", n, 2*freed)
	}
	shop.expectNoDeadlock(edge)
}

// As when the site updates many customers in one transaction.
func TestManyCustomersThatOneStrangerHoldsAreServedOnceItCommits(t *testing.T) {
	shop := openShop(t)
	shop.admitCrowd()
	edge := shop.edge()
	stranger := shop.Lock("UPDATE hoko.customers SET phone = '123'")
	waiting := &held{t: t, store: edge.Store, timeout: testenv.HangGuard}
	const customers = 100
	for i := range customers {
		waiting.begin(crowdSale(3*i+2, 1))
	}
	until(t, "the slow lane has them", func() bool { return edge.Stats().SlowCustomers == customers })
	if n := failures(t, edge.metrics, "55"); n >= customers { // of the slow lane, which takes turns in waiting
		t.Errorf("%v statements had to wait for a lock: writers among them", n)
	}
	for i := range customers / 2 {
		mustRecord(t, edge.Store, crowdSale(3*i, 1))   // new
		mustRecord(t, edge.Store, crowdSale(3*i+1, 1)) // left as it is
	}
	waiting.unanswered()
	stranger.Exec("COMMIT")
	waiting.answered(func(s *sale.Sale, got outcome) {
		if got.err != nil || text(got.Customer.Phone) != "123" {
			t.Errorf("%s: %+v", s.Request.CustomerExternalID, got)
		}
	})
	if n := testenv.Value[int](shop.DB, "SELECT count(*) FROM hoko.customers WHERE name = 'name1' AND phone = '123'"); n != customers {
		t.Errorf("%d customers are changed, want %d", n, customers)
	}
	shop.expectNoDeadlock(edge)
}
