package sales_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

// trigger runs PL/pgSQL for each row of a relation before it is written.
func (s *shop) trigger(on, events, body string) {
	s.T.Helper()
	s.Exec("CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + body + " END $$")
	s.Exec("CREATE TRIGGER meddle BEFORE " + events + " ON " + on + " FOR EACH ROW EXECUTE FUNCTION public.meddle()")
}

// A sale is answered 201 only if it is stored as requested. Otherwise nothing of it is stored.
func TestTriggerChangingAnID_FailsItsSale(t *testing.T) {
	const onlyBad = "IF NEW.event_name IS DISTINCT FROM 'bad' THEN RETURN NEW; END IF; "
	for _, c := range []struct {
		name, on, events, body string
		known                  bool // the customer exists
	}{
		{"the sale's id", "hoko.sales", "INSERT", onlyBad + "NEW.id := gen_random_uuid(); RETURN NEW;", false},
		{"the id of a known customer's sale", "hoko.sales", "INSERT",
			onlyBad + "NEW.id := gen_random_uuid(); RETURN NEW;", true},
		{"the sale's workspace", "hoko.sales", "INSERT", onlyBad + "NEW.workspace_id := 'w2'; RETURN NEW;", true},
		{"the sale's customer", "hoko.sales", "INSERT", onlyBad +
			"NEW.customer_id := (SELECT id FROM hoko.customers WHERE external_id = 'other'); RETURN NEW;", true},
		{"the sale, which it skips", "hoko.sales", "INSERT", onlyBad + "RETURN NULL;", true},
		{"a new customer's external id", "hoko.customers", "INSERT",
			"NEW.external_id := lower(NEW.external_id); RETURN NEW;", false},
		{"a new customer's workspace", "hoko.customers", "INSERT",
			"IF NEW.external_id = 'BAD' THEN NEW.workspace_id := 'w2'; END IF; RETURN NEW;", false},
		{"a changed customer's external id", "hoko.customers", "UPDATE",
			"NEW.external_id := lower(NEW.external_id); RETURN NEW;", true},
		{"a changed customer, which it skips", "hoko.customers", "UPDATE",
			"IF NEW.external_id = 'BAD' THEN RETURN NULL; END IF; RETURN NEW;", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			shop, store := openShopAndStore(t, oneWriter)
			mustRecord(t, store, sell("other"))
			if c.known {
				mustRecord(t, store, sell("BAD", named("before")))
			}
			shop.trigger(c.on, c.events, c.body)
			for _, single := range []bool{true, false} {
				before := shop.Rows("SELECT * FROM hoko.customers WHERE external_id ILIKE 'bad'")
				bad := sell("BAD", named("before"), func(s *sale.Sale) { s.Request.EventName = "bad" })
				if c.events == "UPDATE" {
					bad.Request.CustomerName = "after"
				}
				sold := []*sale.Sale{bad}
				if !single {
					sold = append(sold, sell("other"), sell("third"))
				}
				outcomes := shop.recordTogether(sold...)
				got := outcomes[0]
				if got.err == nil || errors.Is(got.err, sale.ErrNotRecorded) || isUnknown(got.err) {
					t.Errorf("error %v, want one of the database", got.err)
				} else if !strings.Contains(got.err.Error(), c.on) ||
					!strings.Contains(got.err.Error(), "adopting.md") {
					t.Errorf("error %v names neither %s nor a remedy", got.err, c.on)
				}
				for _, got := range outcomes[1:] {
					if got.err != nil {
						t.Errorf("another sale: %v", got.err)
					}
				}
				shop.expectSales(t, 0, "event_name = 'bad'")
				shop.expectRows(t, before, "SELECT * FROM hoko.customers WHERE external_id ILIKE 'bad'")
			}
		})
	}
}

func (s *shop) recordTogether(sales ...*sale.Sale) (outcomes []outcome) {
	s.T.Helper()
	wire := pgtest.Tap(s.T, s.DSN)
	begun := queue(s.T, openStore(s.T, wire.DSN, oneWriter), sales...)
	wire.Resume()
	for _, o := range begun {
		outcomes = append(outcomes, wait(s.T, o))
	}
	return outcomes
}

func TestTriggerChangingNoID_IsAllowed(t *testing.T) {
	shop, store := openShopAndStore(t)
	shop.trigger("hoko.customers", "INSERT OR UPDATE", "NEW.email := lower(NEW.email); RETURN NEW;")
	for _, name := range []string{"created", "updated"} {
		mustRecord(t, store, sell("k", named(name), mailing(set("Ada@Example.com"))))
	}
	got := shop.Rows("SELECT email, name FROM hoko.customers")
	if !strings.Contains(got, "ada@example.com") || !strings.Contains(got, "updated") {
		t.Errorf("stored %s", got)
	}
}

// A view over the site's sales, whose trigger writes them.
func TestViewReturningAnotherRow_FailsItsSale(t *testing.T) {
	for name, body := range map[string]string{
		"none":              "INSERT INTO public.sales SELECT (NEW).*; RETURN NULL;",
		"of another id":     "INSERT INTO public.sales SELECT (NEW).*; NEW.id := gen_random_uuid(); RETURN NEW;",
		"stored as another": "NEW.id := gen_random_uuid(); INSERT INTO public.sales SELECT (NEW).*; RETURN NEW;",
	} {
		t.Run(name, func(t *testing.T) {
			shop := openShop(t)
			shop.Exec("ALTER TABLE hoko.sales SET SCHEMA public")
			shop.Exec("CREATE VIEW hoko.sales AS SELECT * FROM public.sales")
			shop.Exec("ALTER VIEW hoko.sales ALTER COLUMN created_at SET DEFAULT now()")
			shop.Exec("CREATE FUNCTION public.create_sale() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " +
				body + " END $$")
			shop.Exec(`CREATE TRIGGER create_sale INSTEAD OF INSERT ON hoko.sales
				FOR EACH ROW EXECUTE FUNCTION public.create_sale()`)
			store := shop.Store()
			for _, s := range []*sale.Sale{sell("k"), sell("k", keyed("K"))} {
				got := record(t, store, s)
				if got.err == nil || !strings.Contains(got.err.Error(), "hoko.sales is missing or changed") {
					t.Errorf("error %v", got.err)
				}
			}
			shop.expectSales(t, 0, "true")
		})
	}
}

// A rehearsal detects what one statement cannot: a returned row that differs from the stored one.
func TestRehearsal_FindsWhatTriggersDo(t *testing.T) {
	const view = "ALTER TABLE hoko.%[1]s SET SCHEMA public; CREATE VIEW hoko.%[1]s AS SELECT * FROM public.%[1]s; "
	sold := fmt.Sprintf(view, "sales") + "ALTER VIEW hoko.sales ALTER COLUMN created_at SET DEFAULT now(); "
	customers := fmt.Sprintf(view, "customers")
	instead := func(on, body string) string {
		return "CREATE FUNCTION public.write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + body + " END $$; " +
			"CREATE TRIGGER write INSTEAD OF INSERT ON hoko." + on + " FOR EACH ROW EXECUTE FUNCTION public.write()"
	}
	for name, c := range map[string]struct{ setup, finds string }{
		"nothing": {"SELECT 1", ""},
		"another id of a sale": {sold + instead("sales", `INSERT INTO public.sales
				(id, workspace_id, customer_id, link_id, attribution, amount, currency, event_name)
			VALUES (gen_random_uuid(), NEW.workspace_id, NEW.customer_id, NEW.link_id, NEW.attribution, NEW.amount,
				NEW.currency, NEW.event_name); RETURN NEW;`), "hoko.sales"},
		"no sale": {sold + instead("sales", "RETURN NEW;"), "hoko.sales"},
		"another id of a customer": {customers +
			"ALTER VIEW hoko.customers ALTER COLUMN id SET DEFAULT gen_random_uuid()::text; " +
			instead("customers", `INSERT INTO public.customers (workspace_id, external_id, name)
				VALUES (NEW.workspace_id, NEW.external_id, NEW.name); RETURN NEW;`), "hoko.customers"},
		"an objection at the commit": {`CREATE FUNCTION public.object() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN RAISE 'no sales today'; END $$;
			CREATE CONSTRAINT TRIGGER object AFTER INSERT ON hoko.sales DEFERRABLE INITIALLY DEFERRED
				FOR EACH ROW EXECUTE FUNCTION public.object()`, "no sales today"},
	} {
		t.Run(name, func(t *testing.T) {
			shop := openShop(t)
			shop.Exec(c.setup)
			err := sales.Rehearse(t.Context(), postgres.Options{DSN: shop.DSN})
			if (err == nil) != (c.finds == "") || err != nil && !strings.Contains(err.Error(), c.finds) {
				t.Errorf("it finds %v", err)
			}
			shop.expectSales(t, 0, "true")
		})
	}
}
