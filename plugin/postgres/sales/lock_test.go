package sales_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

const lockCustomer = "SELECT FROM hoko.customers WHERE external_id = $1 FOR UPDATE"

// lockKnown records a sale of the customer, then locks the customer in another session.
func (s *shop) lockKnown(t testing.TB, store *sales.Store, customer string) testenv.DB {
	t.Helper()
	mustRecord(t, store, sell(customer))
	return s.Lock(lockCustomer, customer)
}

func TestLockedCustomer_DelaysNoOther(t *testing.T) {
	shop, store := openShopAndStore(t, oneWriter)
	mustRecord(t, store, sell("held"))
	mustRecord(t, store, sell("free"))
	session := shop.Lock(lockCustomer, "held")

	held := begin(t, store, sell("held", named("changed"), costing(1)))
	shop.untilBlocked()
	mustRecord(t, store, sell("free", named("changed")))
	mustRecord(t, store, sell("new"))
	mustRecord(t, store, sell("held", costing(2))) // changes nothing, so it needs no lock
	select {
	case got := <-held:
		t.Fatalf("answered while the customer is locked: %+v", got)
	default:
	}

	session.Exec("UPDATE hoko.customers SET email = 'other@example.com' WHERE external_id = 'held'")
	session.Exec("COMMIT")
	got := wait(t, held)
	if got.err != nil {
		t.Fatal(got.err)
	}
	if text(got.Customer.Email) != "other@example.com" {
		t.Errorf("answered the e-mail %s, want the newest one", text(got.Customer.Email))
	}
	shop.expectRows(t, "(changed)", "SELECT name FROM hoko.customers WHERE external_id = 'held'")
}

func TestUnchangedCustomer_DoesNotWaitForItsBatch(t *testing.T) {
	shop, wire, store := openTappedShop(t)
	shop.Exec(`INSERT INTO hoko.customers (workspace_id, external_id, name, email)
		VALUES ('w1', 'held', 'name', 'e@example.com')`)
	session := shop.Lock(lockCustomer, "held")
	unchanged := func(amount int64) *sale.Sale { return sell("held", named("name"), costing(amount)) }
	outcomes := queue(t, store,
		unchanged(1), sell("held", named("changed"), mailing(set("c@example.com"))), unchanged(2),
		sell("held", named("again")))
	wire.Resume()
	for _, i := range []int{0, 2} {
		if got := wait(t, outcomes[i]); got.err != nil || text(got.Customer.Email) != "e@example.com" {
			t.Fatalf("answered %+v, want the customer as it is stored", got)
		}
	}
	shop.untilBlocked()
	session.Exec("COMMIT")
	for _, i := range []int{1, 3} {
		if got := wait(t, outcomes[i]); got.err != nil || text(got.Customer.Email) != "c@example.com" {
			t.Errorf("answered %+v", got)
		}
	}
	shop.expectRows(t, "(again,c@example.com)", "SELECT name, email FROM hoko.customers WHERE external_id = 'held'")
}

func TestSlowLane_SessionTerminatedWhileWaiting(t *testing.T) {
	shop, store := openShopAndStore(t)
	session := shop.lockKnown(t, store, "held")
	held := begin(t, store, sell("held", named("changed")))
	until(t, "the waiting session is terminated", func() bool {
		return testenv.Value[int](shop.DB, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND `+edges) > 0
	})
	session.Exec("COMMIT")
	expectRecorded(t, held)
	shop.expectSales(t, 2, "true")
}

func TestLockedCustomer_NotRecordedByTheDeadline(t *testing.T) {
	shop, store := openShopAndStore(t)
	session := shop.lockKnown(t, store, "held")
	got := wait(t, beginWithin(t, store, sell("held", named("changed"), costing(1)), time.Second))
	if !errors.Is(got.err, sale.ErrNotRecorded) || isUnknown(got.err) {
		t.Fatalf("error %v, want not recorded", got.err)
	}
	session.Exec("COMMIT")
	mustRecord(t, store, sell("held", named("third"))) // a sale left behind would be recorded by now
	shop.expectSales(t, 0, "amount = 1")
}

// More customers stay locked than the slow lane has connections.
func TestCustomersLockedForGood_LeaveRoom(t *testing.T) {
	t.Parallel() // it mostly waits
	shop, store := openShopAndStore(t)
	var outcomes []<-chan outcome
	for i := range 4 {
		mustRecord(t, store, sell(fmt.Sprint("held", i)))
		shop.Lock(lockCustomer, fmt.Sprint("held", i))
		outcomes = append(outcomes, beginWithin(t, store, sell(fmt.Sprint("held", i), named("changed")), 4*time.Second))
	}
	session := shop.lockKnown(t, store, "freed")
	until(t, "the slow lane has them", func() bool { return store.Stats().SlowCustomers >= 4 })
	freed := begin(t, store, sell("freed", named("changed")))
	until(t, "the slow lane has it too", func() bool { return store.Stats().SlowCustomers == 5 })
	session.Exec("COMMIT")
	expectRecorded(t, freed)
	for _, o := range outcomes {
		select {
		case got := <-o:
			t.Errorf("answered before: %+v", got)
		default:
		}
	}
	for _, o := range outcomes {
		expectError(t, wait(t, o), sale.ErrNotRecorded)
	}
}

// A site's transaction holds all customers of w1. With 250 ms for each, one round would take half a
// minute.
func TestLockedCustomers_LeaveTimeForOtherWorkspaces(t *testing.T) {
	const many = 200
	shop, store := openShopAndStore(t)
	shop.Exec(`INSERT INTO hoko.customers (workspace_id, external_id, name) SELECT 'w1', 'held' || i, 'x'
		FROM generate_series(1, $1::int) i`, many)
	shop.Exec("INSERT INTO hoko.customers (workspace_id, external_id, name) VALUES ('w2', 'mine', 'x')")
	session := shop.Lock("UPDATE hoko.customers SET phone = '1' WHERE workspace_id = 'w1'")
	var held []<-chan outcome
	for i := range many {
		held = append(held, begin(t, store, sell(fmt.Sprint("held", i+1))))
	}
	until(t, "the slow lane has them", func() bool { return store.Stats().SlowCustomers == many })
	brief := shop.Lock(lockCustomer, "mine")
	mine := beginWithin(t, store, sell("mine", inWorkspace("w2"), byClick("y1")), 10*time.Second)
	until(t, "the slow lane has it too", func() bool { return store.Stats().SlowCustomers == many+1 })
	brief.Exec("COMMIT")
	expectRecorded(t, mine)
	session.Exec("ROLLBACK")
	expectRecorded(t, held...)
}

func TestLockedCustomer_LineIsBounded(t *testing.T) {
	shop := openShop(t)
	metrics := prometheus.NewRegistry()
	store := shop.Store(oneWriter, withMetrics(metrics), func(o *postgres.Options) { o.Batch, o.Queue = 3, 12 })
	session := shop.lockKnown(t, store, "held")
	var outcomes []<-chan outcome
	begun := func(n int) {
		for range n {
			outcomes = append(outcomes, begin(t, store, sell("held", named(fmt.Sprint(len(outcomes))))))
		}
	}
	// One is under way, three wait, and the fifth is shed.
	begun(1)
	shop.untilBlocked()
	begun(3)
	until(t, "they wait", func() bool { return store.Stats().SlowSales >= 3 })
	expectError(t, record(t, store, sell("held", named("one too many"))), sale.ErrNotRecorded)
	if n := metric(t, metrics, "hoko_sale_shed_total", "customer"); n != 1 {
		t.Errorf("%v sales are shed for their customer, want 1", n)
	}
	joined := metric(t, metrics, "hoko_sale_slow_lane_total")
	retried := metric(t, metrics, "hoko_sale_retries_total", "customer")
	if joined != 4 || retried == 0 {
		t.Errorf("%v sales joined the slow lane, want 4; %v found their customer locked", joined, retried)
	}
	until(t, "one of the lane's connections waits for the lock", func() bool {
		stats := store.Stats()
		return stats.SlowConnected == postgres.SlowLaneConns && stats.SlowBusy == 1
	})
	session.Exec("COMMIT")
	expectRecorded(t, outcomes...)
}

// As with a hot customer that several edges change: a nearly empty queue is no reason to shed its
// sales.
func TestLockedCustomer_LineMayExceedABatch(t *testing.T) {
	const sales = 12
	shop, store := openShopAndStore(t, oneWriter, func(o *postgres.Options) { o.Batch, o.Queue = 3, 4*sales })
	session := shop.lockKnown(t, store, "held")
	outcomes := []<-chan outcome{begin(t, store, sell("held", named("0")))}
	shop.untilBlocked()
	for n := 1; n < sales; n++ {
		outcomes = append(outcomes, begin(t, store, sell("held", named(fmt.Sprint(n)))))
	}
	until(t, "more than a batch waits", func() bool { return store.Stats().SlowSales > 3 })
	session.Exec("COMMIT")
	expectRecorded(t, outcomes...)
}

func TestCustomerInCreation_IsAwaited(t *testing.T) {
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		t.Run(end, func(t *testing.T) {
			shop, store := openShopAndStore(t, oneWriter)
			session := shop.Lock(`INSERT INTO hoko.customers (id, workspace_id, external_id, name, phone)
				VALUES ('other', 'w1', 'held', 'x', '123')`)
			one := func() <-chan outcome { return begin(t, store, sell("held", named("one"))) }
			held := []<-chan outcome{one(), one()}
			until(t, "the slow lane has them", func() bool { return store.Stats().SlowCustomers == 1 })
			for i := range 20 {
				mustRecord(t, store, sell(fmt.Sprint("new", i)))
			}
			held = append(held, one())
			session.Exec(end)
			for _, h := range held {
				got, committed := wait(t, h), end == "COMMIT"
				testenv.NoError(t, got.err)
				if (got.Customer.ID == "other") != committed || (text(got.Customer.Phone) == "123") != committed {
					t.Errorf("answered %+v", got.Customer)
				}
			}
			shop.expectRows(t, "(one)", "SELECT name FROM hoko.customers WHERE external_id = 'held'")
		})
	}
}

// They share a batch, which is halved until the customer in creation is found.
func TestCustomerInCreation_BesideKnownOnes(t *testing.T) {
	metrics := prometheus.NewRegistry()
	shop, wire, store := openTappedShop(t, withMetrics(metrics))
	sales := []*sale.Sale{sell("held")}
	for i := range 15 {
		shop.Exec("INSERT INTO hoko.customers (workspace_id, external_id) VALUES ('w1', $1)", fmt.Sprint("k", i))
		sales = append(sales, sell(fmt.Sprint("k", i)))
	}
	session := shop.Lock("INSERT INTO hoko.customers (workspace_id, external_id) VALUES ('w1', 'held')")
	outcomes := queueAndSend(t, wire, store, sales...)
	expectRecorded(t, outcomes[1:]...)
	// All halves down to the sale that must wait, which runs two or three times.
	if n, _ := statements(t, metrics); n > 11 {
		t.Errorf("%d statements", n)
	}
	session.Exec("COMMIT")
	expectRecorded(t, outcomes[0])
}

func TestCustomerInCreation_NotRecordedByTheDeadline(t *testing.T) {
	shop, store := openShopAndStore(t)
	session := shop.Lock("INSERT INTO hoko.customers (workspace_id, external_id) VALUES ('w1', 'held')")
	expectError(t, wait(t, beginWithin(t, store, sell("held"), time.Second)), sale.ErrNotRecorded)
	session.Exec("COMMIT")
	mustRecord(t, store, sell("held", costing(2)))
	shop.expectSales(t, 1, "true")
}

// An earlier run of the same sale may still be under way when it is sent again.
func TestSaleID_UnderWayElsewhereIsAwaited(t *testing.T) {
	shop, store := openShopAndStore(t)
	mustRecord(t, store, sell("k"))
	s := sell("k", costing(7))
	session := shop.Lock(`INSERT INTO hoko.sales
			(id, workspace_id, customer_id, click_id, link_id, attribution, amount, currency, event_name)
		SELECT $1, 'w1', id, 'c2', 'l2', 'latest-lead', 7, 'usd', 'Purchase' FROM hoko.customers`, s.ID)
	again := begin(t, store, s)
	until(t, "the slow lane has it", func() bool { return store.Stats().SlowCustomers == 1 })
	mustRecord(t, store, sell("another"))
	session.Exec("COMMIT")
	got := wait(t, again)
	if got.err != nil || got.Attribution != sale.LatestLead || text(got.ClickID) != "c2" || got.Link.ID != "l2" {
		t.Errorf("answered %+v, want what was stored", got)
	}
	shop.expectSales(t, 1, "amount = 7")
}

// holdSales blocks every INSERT of a sale until there is a row in let_go.
const holdSales = `
CREATE TABLE let_go (now bool);
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	WHILE NOT EXISTS (SELECT FROM let_go) LOOP PERFORM pg_sleep(0.01); END LOOP;
	RETURN NEW;
END $$;
CREATE TRIGGER hold BEFORE INSERT ON hoko.sales FOR EACH ROW EXECUTE FUNCTION hold();`

func TestOutcome_UnknownIfTheSlowLaneCannotAskFor(t *testing.T) {
	t.Parallel() // it mostly waits
	shop := openShop(t)
	mustRecord(t, shop.Store(), sell("held"))
	shop.Exec(holdSales)
	wire := pgtest.Tap(t, shop.DSN).Working()
	store := openStore(t, wire.DSN, oneWriter)
	session := shop.Lock(lockCustomer, "held")
	done := beginWithin(t, store, sell("held", named("changed")), 3*time.Second)
	shop.untilBlocked()
	session.Exec("COMMIT")
	until(t, "its statement is under way", func() bool {
		return testenv.Value[int](shop.DB,
			"SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND "+edges) > 0
	})
	wire.Cut()
	expectUnknown(t, wait(t, done))
	shop.Exec("INSERT INTO let_go VALUES (true)")
	until(t, "it is recorded all the same", func() bool { return shop.Sales("true") == 2 })
}
