package postgres_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/sale"
)

func TestReplayIsTheFirstAnswer(t *testing.T) {
	shop := openShop(t)
	store := shop.store()
	shop.exec("INSERT INTO hoko.customers (id, workspace_id, external_id, name, phone) VALUES ('k1', 'w1', 'k', 'old', '123')")
	shop.exec(`INSERT INTO hoko.leads (workspace_id, customer_id, link_id, event_name) VALUES ('w1', 'k1', 'l2', 'Signup')`)
	for name, request := range map[string]func() *sale.Sale{
		"all members": func() *sale.Sale {
			return sell("k", keyed("k1"), named("N"), mailing(set("ä@example.com")), pictured(clear), noting(`{"z":1,"a":1.0}`), costing(0))
		},
		"as few as possible": func() *sale.Sale { return sell("k", keyed("k2"), byClick("")) },
	} {
		t.Run(name, func(t *testing.T) {
			first := mustRecord(t, store, request())
			if first.Replayed {
				t.Error("the first answer is a replay")
			}
			before := shop.sales("true")
			mustRecord(t, store, sell("k", named("later"), mailing(set("later@example.com")), pictured(set("https://example.com/later"))))
			shop.exec("UPDATE hoko.links SET url = 'later', title = 'later', utm = NULL")
			again := mustRecord(t, store, request())
			if !again.Replayed || again.SaleID != first.SaleID || again.Attribution != first.Attribution {
				t.Errorf("replayed %v, sale %v of %v, want %v of %v", again.Replayed, again.SaleID, again.Attribution, first.SaleID, first.Attribution)
			}
			if a, b := sale.AppendResponse(nil, first), sale.AppendResponse(nil, again); !bytes.Equal(a, b) {
				t.Errorf("answered\n%s\nand then\n%s", a, b)
			}
			if n := shop.sales("true"); n != before+1 {
				t.Errorf("%d sales, want %d", n, before+1)
			}
			if name := value[string](shop.database, "SELECT name FROM hoko.customers"); name != "later" {
				t.Errorf("the replay changed the customer: %s", name)
			}
		})
	}
}

func TestKeyOfAnotherRequestIsAMismatch(t *testing.T) {
	shop := openShop(t)
	store := shop.store()
	mustRecord(t, store, sell("k", keyed("key")))
	before := shop.rows("SELECT * FROM hoko.customers") + shop.rows("SELECT * FROM hoko.sales") + shop.rows("SELECT * FROM hoko.idempotency_keys")
	for name, other := range map[string]*sale.Sale{
		"another amount":            sell("k", keyed("key"), costing(101)),
		"another customer":          sell("another", keyed("key")),
		"one that nothing earns":    sell("k", keyed("key"), byClick("none")),
		"one that renames":          sell("k", keyed("key"), named("new")),
		"one that clears the email": sell("k", keyed("key"), mailing(clear)),
	} {
		if got := record(t, store, other); !errors.Is(got.err, sale.ErrIdempotencyMismatch) {
			t.Errorf("%s: %v", name, got.err)
		}
	}
	after := shop.rows("SELECT * FROM hoko.customers") + shop.rows("SELECT * FROM hoko.sales") + shop.rows("SELECT * FROM hoko.idempotency_keys")
	if after != before {
		t.Errorf("stored\n%s\nand then\n%s", before, after)
	}
	other := mustRecord(t, store, sell("k", keyed("key"), inWorkspace("w2"), byClick("y1")))
	if other.Replayed {
		t.Error("the key of another workspace was replayed")
	}
}

func TestOnlyRecordedSalesAreRemembered(t *testing.T) {
	shop := openShop(t)
	store := shop.store()
	if got := record(t, store, sell("k", keyed("key"), byClick("later"))); !errors.Is(got.err, sale.ErrUnattributed) {
		t.Fatal(got.err)
	}
	shop.exec("INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('later', 'w1', 'l1')")
	if got := mustRecord(t, store, sell("k", keyed("key"), byClick("later"))); got.Replayed {
		t.Error("a replay of nothing")
	}
}

// The twins wait while the store connects, so that they could be one batch.
func TestTwinsInOneQueueAreOneSale(t *testing.T) {
	shop := openShop(t)
	wire := tap(t, shop.dsn)
	metrics := prometheus.NewRegistry()
	store := openStore(t, wire.dsn, oneWriter, withMetrics(metrics))
	outcomes := queue(t, store,
		sell("k", keyed("key")), sell("k", keyed("key")), sell("k", keyed("key"), costing(1)), sell("k", keyed("other key")), sell("k", keyed("key")))
	wire.open()
	first := wait(t, outcomes[0])
	if first.err != nil || first.Replayed {
		t.Fatalf("the first: %+v", first)
	}
	for _, i := range []int{1, 4} {
		twin := wait(t, outcomes[i])
		if twin.err != nil || !twin.Replayed || twin.SaleID != first.SaleID {
			t.Errorf("twin: %+v", twin)
		}
	}
	if got := wait(t, outcomes[2]); !errors.Is(got.err, sale.ErrIdempotencyMismatch) {
		t.Errorf("a different request: %v", got.err)
	}
	if got := wait(t, outcomes[3]); got.err != nil || got.Replayed {
		t.Errorf("another key: %+v", got)
	}
	if n := shop.sales("true"); n != 2 {
		t.Errorf("%d sales, want 2", n)
	}
	if count, sales := statements(t, metrics); count != 4 || sales != 5 {
		t.Errorf("%d statements of %v sales, want 4 of 5: each twin one of its own", count, sales)
	}
}

func TestTwinsOnTwoEdgesAreOneSale(t *testing.T) {
	shop := openShop(t)
	one, two := shop.store(), shop.store()
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
	if n := shop.sales("true"); n != keys {
		t.Errorf("%d sales, want %d", n, keys)
	}
}
