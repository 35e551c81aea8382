package sales_test

import (
	"testing"

	"hoko.to/edge/internal/testenv"
)

func TestUnreachable_UntilAConnectionSucceeds(t *testing.T) {
	shop := openShop(t)
	relay, dsn := testenv.Relay(t, shop.DSN)
	store := openStore(t, dsn)
	if store.Unreachable() {
		t.Error("unreachable before the first attempt")
	}
	if got := record(t, store, sell("k")); got.err == nil || !store.Unreachable() {
		t.Errorf("error %v, unreachable: %t", got.err, store.Unreachable())
	}
	testenv.NoError(t, relay.Open())
	until(t, "a sale is recorded", func() bool { return record(t, store, sell("k")).err == nil })
	if store.Unreachable() {
		t.Error("unreachable after a sale was recorded")
	}
}
