package sales_test

import (
	"errors"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

// holdSales keeps whoever inserts a sale in its statement until there is a row in let_go.
const holdSales = `
CREATE TABLE let_go (now bool);
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	WHILE NOT EXISTS (SELECT FROM let_go) LOOP PERFORM pg_sleep(0.01); END LOOP;
	RETURN NEW;
END $$;
CREATE TRIGGER hold BEFORE INSERT ON hoko.sales FOR EACH ROW EXECUTE FUNCTION hold();`

func TestOutcomeThatTheSlowLaneCannotAskForIsUnknown(t *testing.T) {
	shop := openShop(t)
	mustRecord(t, shop.Store(), sell("held"))
	shop.Exec(holdSales)
	wire := pgtest.Tap(t, shop.DSN).Working()
	store := openStore(t, wire.DSN, oneWriter)
	stranger := shop.Lock(lockCustomer, "held")
	done := beginWithin(t, store, sell("held", named("changed")), 3*time.Second)
	shop.untilBlocked()
	stranger.Exec("COMMIT")
	until(t, "its statement is under way", func() bool {
		return testenv.Value[int](shop.DB, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND "+edges) > 0
	})
	wire.HangUp()
	if got := wait(t, done); !isUnknown(got.err) || errors.Is(got.err, sale.ErrNotRecorded) {
		t.Errorf("sent: %v", got.err)
	}
	shop.Exec("INSERT INTO let_go VALUES (true)")
	until(t, "it is recorded all the same", func() bool { return shop.Sales("true") == 2 })
}
