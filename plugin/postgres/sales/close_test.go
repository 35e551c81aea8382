package sales_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

func TestStore_ConnectsWithItsFirstSale(t *testing.T) {
	shop := openShop(t)
	wire := pgtest.Tap(t, shop.DSN).Working()
	store := openStore(t, wire.DSN)
	if err := store.Close(testenv.Guarded(t)); err != nil {
		t.Fatal(err)
	}
	if got := record(t, store, sell("k")); !errors.Is(got.err, sale.ErrNotRecorded) {
		t.Errorf("after the close: %v", got.err)
	}
	if n := wire.Accepted(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestClose_AnswersAcceptedSales(t *testing.T) {
	shop := openShop(t)
	wire := pgtest.Tap(t, shop.DSN)
	store := openStore(t, wire.DSN, func(o *postgres.Options) { o.Batch = 3 })
	var sales []*sale.Sale
	for i := range 30 {
		sales = append(sales, sell(fmt.Sprint("k", i)))
	}
	outcomes := queue(t, store, sales...)
	closed := make(chan error, 1)
	go func() { closed <- store.Close(context.Background()) }()
	until(t, "new sales are rejected", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := store.Record(ctx, sell("late", byClick("none")))
		return errors.Is(err, sale.ErrNotRecorded) && ctx.Err() == nil
	})
	wire.Resume()
	for _, o := range outcomes {
		if got := wait(t, o); got.err != nil {
			t.Error(got.err)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	until(t, "no connection is left", func() bool { return shop.connections() == 0 })
	if n := shop.Sales("true"); n != len(sales) {
		t.Errorf("%d sales, want %d", n, len(sales))
	}
}

func TestClose_AnswersAllIfItMayNotWait(t *testing.T) {
	shop := openShop(t)
	wire := pgtest.Tap(t, shop.DSN).Working()
	store := openStore(t, wire.DSN, oneWriter)
	mustRecord(t, store, sell("k"))
	lost := wire.Next(pgtest.Cut{Stall: true})
	sent := beginWithin(t, store, sell("k", costing(1)), time.Hour)
	<-lost
	queued := beginWithin(t, store, sell("k", costing(2)), time.Hour)
	until(t, "it waits", func() bool { return store.Stats().Queued == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	closed := make(chan outcome, 1)
	go func() { closed <- outcome{nil, store.Close(ctx)} }()
	if got := wait(t, closed); !errors.Is(got.err, context.Canceled) {
		t.Errorf("close: %v", got.err)
	}
	if got := wait(t, sent); !isUnknown(got.err) {
		t.Errorf("sent: %v", got.err)
	}
	if got := wait(t, queued); !errors.Is(got.err, sale.ErrNotRecorded) {
		t.Errorf("queued: %v", got.err)
	}
}

func TestQueue_NeverSendsASaleWhoseCallerLeft(t *testing.T) {
	shop := openShop(t)
	wire := pgtest.Tap(t, shop.DSN)
	metrics := prometheus.NewRegistry()
	store := openStore(t, wire.DSN, oneWriter, withMetrics(metrics))
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() {
		_, err := store.Record(ctx, sell("k", costing(1)))
		left <- err
	}()
	until(t, "it waits", func() bool { return store.Stats().Queued == 1 })
	stayed := queue(t, store, sell("k", costing(2)))[0]
	leave()
	if err := <-left; !errors.Is(err, sale.ErrNotRecorded) {
		t.Errorf("left: %v", err)
	}
	wire.Resume()
	if got := wait(t, stayed); got.err != nil {
		t.Error(got.err)
	}
	if n := shop.Sales("amount = 1"); n != 0 {
		t.Error("the sale was recorded anyway")
	}
	if n := metric(t, metrics, "hoko_sale_shed_total", "late"); n != 1 {
		t.Errorf("%v sales count as late, want 1", n)
	}
	if _, sales := statements(t, metrics); sales != 1 {
		t.Errorf("%v sales were sent, want 1", sales)
	}
}

func TestQueue_ShedsIfFull(t *testing.T) {
	shop := openShop(t)
	wire := pgtest.Tap(t, shop.DSN)
	metrics := prometheus.NewRegistry()
	store := openStore(t, wire.DSN, oneWriter, withMetrics(metrics), func(o *postgres.Options) { o.Queue = 3 })
	outcomes := queue(t, store, sell("a"), sell("b"), sell("c"))
	if got := record(t, store, sell("d")); !errors.Is(got.err, sale.ErrNotRecorded) {
		t.Errorf("one too many: %v", got.err)
	}
	if shed, waiting := metric(t, metrics, "hoko_sale_shed_total", "queue"), metric(t, metrics, "hoko_sale_queue_depth"); shed != 1 || waiting != 3 {
		t.Errorf("%v sales shed while %v wait, want 1 and 3", shed, waiting)
	}
	wire.Resume()
	for _, o := range outcomes {
		if got := wait(t, o); got.err != nil {
			t.Error(got.err)
		}
	}
	mustRecord(t, store, sell("d"))
	if n := shop.Sales("true"); n != 4 {
		t.Errorf("%d sales, want 4", n)
	}
	if shed, waiting := metric(t, metrics, "hoko_sale_shed_total"), metric(t, metrics, "hoko_sale_queue_depth"); shed != 1 || waiting != 0 {
		t.Errorf("afterwards %v sales shed and %v wait, want 1 and 0", shed, waiting)
	}
}

func TestBatch_IsBounded(t *testing.T) {
	shop := openShop(t)
	wire := pgtest.Tap(t, shop.DSN)
	metrics := prometheus.NewRegistry()
	store := openStore(t, wire.DSN, oneWriter, withMetrics(metrics), func(o *postgres.Options) { o.Batch = 4 })
	var sales []*sale.Sale
	for i := range 10 {
		sales = append(sales, sell(fmt.Sprint("k", i)))
	}
	outcomes := queue(t, store, sales...)
	wire.Resume()
	for _, o := range outcomes {
		if got := wait(t, o); got.err != nil {
			t.Error(got.err)
		}
	}
	if count, sum := statements(t, metrics); count != 3 || sum != 10 {
		t.Errorf("%d statements of %v sales, want 3 of 10", count, sum)
	}
}
