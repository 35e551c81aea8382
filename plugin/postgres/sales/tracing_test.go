package sales_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/internal/testkit"
	"hoko.to/edge/plugin/sale"
	"hoko.to/edge/plugin/tracing"
)

// A caller that leaves must not race with the statements that its sale is still in.
func TestTrace_OfSaleThatLeft(t *testing.T) {
	shop, store := openShopAndStore(t)
	expectRecorded(t, begin(t, store, sell("Ada")))
	shop.Exec("BEGIN; " + lockTable)
	ctx, trace := testkit.StartTrace(t.Context())
	done := make(chan *sale.Sale, 8)
	for range cap(done) {
		go func() { // ends at the sale's timeout
			s := sell("Ada")
			s.Timing = new(sale.Timing)
			ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			store.Record(ctx, s)
			done <- s
		}()
	}
	for range cap(done) {
		if timing := (<-done).Timing; timing.Statement != (tracing.Span{}) || timing.Queue == 0 {
			t.Errorf("the sale that left has %+v", timing)
		}
	}
	trace.End()
	shop.Exec("ROLLBACK")
	testenv.NoError(t, store.Close(testenv.Guarded(t)))
	if got := trace.Tree(); !strings.Contains(got, "INSERT hoko.sales!55P03") {
		t.Errorf("got %q", got)
	}
}
