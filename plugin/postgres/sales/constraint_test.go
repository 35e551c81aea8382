package sales_test

import (
	"errors"
	"strings"
	"testing"

	"hoko.to/edge/plugin/sale"
)

// A conflict with a site's constraint is permanent: the sale is rejected, and its batch is
// recorded.
func TestSiteConstraint_RejectsOnlyItsSale(t *testing.T) {
	for name, c := range map[string]struct {
		constraint, named string
		first, bad        *sale.Sale
	}{
		"invoice of a sale": {
			"CREATE UNIQUE INDEX one_invoice ON hoko.sales ((metadata->>'invoice'))", "one_invoice",
			sell("k", noting(`{"invoice":"1"}`)), sell("j", noting(`{"invoice":"1"}`)),
		},
		"e-mail of a new customer": {
			"CREATE UNIQUE INDEX one_email ON hoko.customers (email)", "one_email",
			sell("k", mailing(set("a@example.com"))), sell("j", mailing(set("a@example.com"))),
		},
		"e-mail of a known customer": {
			"CREATE UNIQUE INDEX one_email ON hoko.customers (email)", "one_email",
			sell("k", mailing(set("a@example.com"))), sell("known", mailing(set("a@example.com"))),
		},
		"case of a new customer's external id": {
			"CREATE UNIQUE INDEX one_case ON hoko.customers (workspace_id, lower(external_id))", "one_case",
			sell("k"), sell("K"),
		},
		"exclusion of a new customer": {
			"ALTER TABLE hoko.customers ADD CONSTRAINT one_email EXCLUDE USING btree (email WITH =)", "one_email",
			sell("k", mailing(set("a@example.com"))), sell("j", mailing(set("a@example.com"))),
		},
	} {
		t.Run(name, func(t *testing.T) {
			shop := openShop(t)
			shop.Exec(c.constraint)
			store := shop.Store()
			mustRecord(t, store, sell("known"))
			mustRecord(t, store, c.first)
			outcomes := shop.recordTogether(sell("known"), c.bad, sell("another"))
			got := outcomes[1]
			if got.err == nil || errors.Is(got.err, sale.ErrNotRecorded) || isUnknown(got.err) ||
				!strings.Contains(got.err.Error(), c.named) {
				t.Errorf("error %v, want a pgErr that names %s", got.err, c.named)
			}
			for _, i := range []int{0, 2} {
				if outcomes[i].err != nil {
					t.Errorf("sale %d: %v", i, outcomes[i].err)
				}
			}
			shop.expectSales(t, 0, "id = $1", c.bad.ID)
		})
	}
}

func TestSiteConstraint_TakesOneOfTwoInABatch(t *testing.T) {
	shop := openShop(t)
	shop.Exec("CREATE UNIQUE INDEX one_invoice ON hoko.sales ((metadata->>'invoice'))")
	rejected := 0
	for _, got := range shop.recordTogether(sell("a", noting(`{"invoice":"1"}`)), sell("b"),
		sell("c", noting(`{"invoice":"1"}`))) {
		if got.err != nil {
			rejected++
		}
	}
	if n := shop.Sales("true"); rejected != 1 || n != 2 {
		t.Errorf("%d rejected, %d recorded, want 1 and 2", rejected, n)
	}
}

// The view does not show the customer that conflicts with a new one.
func TestViewHidingACustomer_RejectsItsSales(t *testing.T) {
	shop := openShop(t)
	mustRecord(t, shop.Store(), sell("hidden"))
	shop.Exec("ALTER TABLE hoko.customers SET SCHEMA public")
	shop.Exec("CREATE VIEW hoko.customers AS SELECT * FROM public.customers WHERE external_id <> 'hidden'")
	shop.Exec("ALTER VIEW hoko.customers ALTER COLUMN id SET DEFAULT gen_random_uuid()::text")
	shop.Exec(`CREATE FUNCTION public.create_customer() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.customers (id, workspace_id, external_id, name)
			VALUES (NEW.id, NEW.workspace_id, NEW.external_id, NEW.name)
			ON CONFLICT DO NOTHING RETURNING id INTO NEW.id;
			IF NOT FOUND THEN RETURN NULL; END IF;
			RETURN NEW;
		END $$`)
	shop.Exec(`CREATE TRIGGER create_customer INSTEAD OF INSERT ON hoko.customers
		FOR EACH ROW EXECUTE FUNCTION public.create_customer()`)
	store := shop.Store()
	got := record(t, store, sell("hidden"))
	if got.err == nil || errors.Is(got.err, sale.ErrNotRecorded) ||
		!strings.Contains(got.err.Error(), "hoko.customers") {
		t.Errorf("error %v, want a pgErr that names the view", got.err)
	}
	mustRecord(t, store, sell("new"))
}

// The customer is purged while its sale waits for it; the sale itself is valid.
func TestForeignKeyRaceWithAPurge_IsTriedAgain(t *testing.T) {
	t.Parallel()
	shop := openShop(t)
	shop.Exec("ALTER TABLE hoko.sales ADD FOREIGN KEY (customer_id) REFERENCES hoko.customers (id)")
	shop.Exec("INSERT INTO hoko.customers (id, workspace_id, external_id, name) VALUES ('k1', 'w1', 'k', 'N')")
	store := shop.Store()
	mustRecord(t, store, sell("other"))
	purge := shop.Lock("DELETE FROM hoko.customers WHERE id = 'k1'")
	sold := begin(t, store, sell("k", named("N")))
	shop.untilBlocked()
	purge.Exec("COMMIT")
	expectRecorded(t, sold)
}
