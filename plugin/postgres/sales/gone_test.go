package sales_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

// The lead Signup has the bad link, and the earlier lead Demo a good one. Known customers are
// deleted, so that any write to them shows. New customers belong to another workspace.
const badLeads = `
INSERT INTO hoko.customers (id, workspace_id, external_id, name, deleted_at) VALUES
	('m1', 'w1', 'known, link missing', 'before', now()), ('f1', 'w1', 'known, link foreign', 'before', now()),
	('m2', 'w2', 'new, link missing', 'before', now()), ('f2', 'w2', 'new, link foreign', 'before', now());
INSERT INTO hoko.leads (workspace_id, customer_id, click_id, link_id, event_name, created_at)
	SELECT workspace_id, id, 'c1', CASE WHEN event = 'Demo' THEN 'l1' WHEN left(id, 1) = 'm' THEN 'none' ELSE 'x1' END,
		event, at
	FROM hoko.customers, (VALUES ('Demo', timestamptz '2024-01-01'), ('Signup', '2024-01-02')) AS lead (event, at);
`

// badSales returns sales whose link is missing or foreign, for all ways to name it and all
// customers.
func badSales() (sales []*sale.Sale) {
	for link, click := range map[string]string{"missing": "c3", "foreign": "c4"} {
		for _, who := range []string{"known", "new"} {
			add := func(lead, click string) {
				sales = append(sales, sell(who+", link "+link, named("after"), byLead(lead), byClick(click)))
			}
			add("", click)
			add("none", click)
			add("Signup", "")
			add("", "")
			if who == "known" { // a new customer has no such lead, so the click applies
				add("Signup", "c1")
			}
		}
	}
	return sales
}

func TestLink_EarnsNothingIfMissingOrForeign(t *testing.T) {
	shop := openShop(t)
	shop.Exec(badLeads)
	store := shop.Store()
	// changed by the sales, or left as they are
	for _, customers := range []string{"deleted_at = now()", "deleted_at = NULL, name = 'after'"} {
		shop.Exec("UPDATE hoko.customers SET " + customers)
		before := shop.Rows("SELECT * FROM hoko.customers ORDER BY id")
		for _, s := range badSales() {
			expectError(t, record(t, store, s), sale.ErrUnattributed)
		}
		shop.expectRows(t, before, "SELECT * FROM hoko.customers ORDER BY id")
	}
	shop.expectSales(t, 0, "true")
}

func TestUnattributedSale_FailsAlone(t *testing.T) {
	shop := openShop(t)
	shop.Exec(badLeads)
	before := shop.Rows("SELECT * FROM hoko.customers ORDER BY id")
	wire := pgtest.Tap(t, shop.DSN)
	metrics := prometheus.NewRegistry()
	store := openStore(t, wire.DSN, oneWriter, withMetrics(metrics))

	var sales []*sale.Sale // good and bad ones alternate
	for i, bad := range badSales() {
		sales = append(sales, sell(fmt.Sprint("good", i), keyed(fmt.Sprint("good", i))), bad,
			sell("both", named(fmt.Sprint("good", i))),
			sell("both", named("bad"), byClick("c3"), keyed(fmt.Sprint("bad", i))))
	}
	outcomes := queueAndSend(t, wire, store, sales...)
	for i, o := range outcomes {
		got, good := wait(t, o), i%2 == 0
		if good && got.err != nil || !good && !errors.Is(got.err, sale.ErrUnattributed) {
			t.Errorf("%+v: %v", sales[i].Request, got.err)
		}
	}
	if n, _ := statements(t, metrics); n != 1 {
		t.Errorf("%d statements, want 1", n)
	}
	shop.expectRows(t, before, "SELECT * FROM hoko.customers WHERE name IN ('before', 'after', 'bad') ORDER BY id")
	last := len(sales)/4 - 1
	name := testenv.Value[string](shop.DB, "SELECT name FROM hoko.customers WHERE external_id = 'both'")
	if name != fmt.Sprint("good", last) {
		t.Errorf("%s is stored, want what the last good one left", name)
	}
	shop.expectSales(t, len(sales)/2, "true")
	if n := testenv.Value[int](shop.DB, "SELECT count(*) FROM hoko.idempotency_keys"); n != len(sales)/4 {
		t.Errorf("%d idempotency keys are stored, want %d", n, len(sales)/4)
	}
}

// The customer k is k1 when its sale begins, with a lead on l1. k2 is another customer with a lead
// on l2.
const twoCustomers = `
TRUNCATE hoko.customers, hoko.leads, hoko.sales;
INSERT INTO hoko.customers (id, workspace_id, external_id, name)
VALUES ('k1', 'w1', 'k', 'one'), ('k2', 'w1', 'j', 'two');
INSERT INTO hoko.leads (workspace_id, customer_id, link_id, event_name)
VALUES ('w1', 'k1', 'l1', 'Signup'), ('w1', 'k2', 'l2', 'Signup');
`

func TestCustomer_GoneBeforeItsSaleIsSent(t *testing.T) {
	shop, store := openShopAndStore(t)
	for _, c := range []struct {
		name, change    string
		byClick, byLead string // the sale's customer; "": not recorded, as nothing attributes it
	}{
		{"updated", "UPDATE hoko.customers SET phone = '123' WHERE id = 'k1'", "k1", "k1"},
		{"deleted softly", "UPDATE hoko.customers SET deleted_at = now() WHERE id = 'k1'", "k1", "k1"},
		{"renamed", "UPDATE hoko.customers SET external_id = 'l' WHERE id = 'k1'", "new", ""},
		{"purged", "DELETE FROM hoko.customers WHERE id = 'k1'", "new", ""},
		{"moved to another workspace", "UPDATE hoko.customers SET workspace_id = 'w2' WHERE id = 'k1'", "new", ""},
		{"renamed, and another has its name", `UPDATE hoko.customers SET external_id = 'l' WHERE id = 'k1';
			UPDATE hoko.customers SET external_id = 'k' WHERE id = 'k2'`, "k2", "k2"},
		{"purged, and another has its name", `DELETE FROM hoko.customers WHERE id = 'k1';
			UPDATE hoko.customers SET external_id = 'k' WHERE id = 'k2'`, "k2", "k2"},
		{"purged and made anew", `DELETE FROM hoko.customers WHERE id = 'k1';
			INSERT INTO hoko.customers (id, workspace_id, external_id) VALUES ('k3', 'w1', 'k')`, "k3", ""},
	} {
		for by, whose := range map[string]string{"click": c.byClick, "lead": c.byLead} {
			sold := sell("k", named("sold"))
			if by == "lead" {
				sold = sell("k", named("sold"), byClick(""), byLead("Signup"))
			}
			t.Run(c.name+" while the sale is queued, by "+by, func(t *testing.T) {
				shop.Exec(twoCustomers)
				wire := pgtest.Tap(t, shop.DSN)
				waiting := queue(t, openStore(t, wire.DSN), sold)[0]
				shop.Exec(c.change)
				wire.Resume()
				shop.expectSoldTo(t, whose, by, wait(t, waiting))
			})
			t.Run(c.name+" while the sale waits for it, by "+by, func(t *testing.T) {
				shop.Exec(twoCustomers)
				session := shop.Lock(c.change)
				waiting := begin(t, store, sold)
				shop.untilBlocked()
				session.Exec("COMMIT")
				shop.expectSoldTo(t, whose, by, wait(t, waiting))
			})
		}
	}
}

// expectSoldTo checks that the only sale belongs to this customer, and that only this customer has
// the external ID k and the name from the sale. "new" is a customer that did not exist before.
func (s *shop) expectSoldTo(t *testing.T, customer, by string, got outcome) {
	t.Helper()
	if customer == "" {
		if !errors.Is(got.err, sale.ErrUnattributed) {
			t.Errorf("answered %+v, want unattributed", got)
		}
		s.expectRows(t, "", `SELECT customer_id FROM hoko.sales UNION ALL SELECT id FROM hoko.customers
			WHERE name = 'sold'`)
		return
	}
	if got.err != nil {
		t.Fatal(got.err)
	}
	const stored = `SELECT CASE WHEN c.id LIKE 'k_' THEN c.id ELSE 'new' END, c.id = $1, workspace_id, external_id,
			name, deleted_at IS NULL, (SELECT string_agg(link_id, ' ') FROM hoko.sales WHERE customer_id = c.id)
		FROM hoko.customers c WHERE name = 'sold'`
	link := "l1"
	if customer == "k2" && by == "lead" {
		link = "l2"
	}
	if stored, want := s.Rows(stored, got.Customer.ID), "("+customer+",t,w1,k,sold,t,"+link+")"; stored != want {
		t.Errorf("stored %s, want %s", stored, want)
	}
	s.expectSales(t, 1, "true")
}
