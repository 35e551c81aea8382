package sales_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

// Its first try is committed on the primary, and its second finds it there: the standby may never have it.
func TestUnknownOutcomeOfAReplayNamesTheSaleThatIsThere(t *testing.T) {
	_, dsn, db := pgtest.OwnServer(t)
	store := openStore(t, dsn)
	first := mustRecord(t, store, sell("k", keyed("K")))
	db.Exec("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	db.Exec("SELECT pg_reload_conf()")
	other := testenv.Connect(t, dsn)
	until(t, "standbys are waited for", func() bool {
		return testenv.Value[string](other, "SHOW synchronous_standby_names") == "nobody"
	})
	got := wait(t, beginWithin(t, store, sell("k", keyed("K")), time.Second))
	unknown, ok := errors.AsType[*sale.UnknownOutcomeError](got.err)
	if !ok || unknown.SaleID != first.SaleID {
		t.Errorf("answered %v, want an unknown outcome of %s", got.err, first.SaleID)
	}
}

// With a site's own tables: the key is stored with the row that the trigger returns.
func TestTriggerThatKeepsIdempotencyKeysFromBeingStoredIsNamedInTheLog(t *testing.T) {
	shop := openShop(t)
	shop.Exec("ALTER TABLE hoko.sales SET SCHEMA public")
	shop.Exec("CREATE VIEW hoko.sales AS SELECT * FROM public.sales")
	shop.Exec("ALTER VIEW hoko.sales ALTER COLUMN created_at SET DEFAULT now()")
	shop.Exec(`CREATE FUNCTION public.create_sale() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.sales SELECT (NEW).*;
			RETURN NULL;
		END $$`)
	shop.Exec("CREATE TRIGGER create_sale INSTEAD OF INSERT ON hoko.sales FOR EACH ROW EXECUTE FUNCTION public.create_sale()")
	log := &testenv.Log{}
	store := shop.Store(func(o *postgres.Options) { o.Logger = log.Logger() })
	mustRecord(t, store, sell("k"))
	if strings.Contains(log.String(), "idempotency key") {
		t.Errorf("it logs of a sale without one:\n%s", log)
	}
	mustRecord(t, store, sell("k", keyed("K")))
	if !strings.Contains(log.String(), "RETURN NEW") {
		t.Errorf("it logs\n%s", log)
	}
}
