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
	testenv.NoError(t, store.Close(testenv.Guarded(t)))
	expectError(t, record(t, store, sell("k")), sale.ErrNotRecorded)
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
	expectRecorded(t, outcomes...)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	until(t, "no connection is left", func() bool { return shop.connections() == 0 })
	shop.expectSales(t, len(sales), "true")
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
	expectError(t, wait(t, closed), context.Canceled)
	expectUnknown(t, wait(t, sent))
	expectError(t, wait(t, queued), sale.ErrNotRecorded)
}

func TestQueue_NeverSendsASaleWhoseCallerLeft(t *testing.T) {
	metrics := prometheus.NewRegistry()
	shop, wire, store := openTappedShop(t, withMetrics(metrics))
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
	expectRecorded(t, stayed)
	shop.expectSales(t, 0, "amount = 1")
	if n := metric(t, metrics, "hoko_sale_shed_total", "late"); n != 1 {
		t.Errorf("%v sales count as late, want 1", n)
	}
	if _, sales := statements(t, metrics); sales != 1 {
		t.Errorf("%v sales were sent, want 1", sales)
	}
}

func TestQueue_ShedsIfFull(t *testing.T) {
	metrics := prometheus.NewRegistry()
	shop, wire, store := openTappedShop(t, withMetrics(metrics), func(o *postgres.Options) { o.Queue = 3 })
	outcomes := queue(t, store, sell("a"), sell("b"), sell("c"))
	expectError(t, record(t, store, sell("d")), sale.ErrNotRecorded)
	shed, waiting := metric(t, metrics, "hoko_sale_shed_total", "queue"), store.Stats().Queued
	if shed != 1 || waiting != 3 {
		t.Errorf("%v sales shed while %v wait, want 1 and 3", shed, waiting)
	}
	wire.Resume()
	expectRecorded(t, outcomes...)
	mustRecord(t, store, sell("d"))
	shop.expectSales(t, 4, "true")
	shed, waiting = metric(t, metrics, "hoko_sale_shed_total"), store.Stats().Queued
	if shed != 1 || waiting != 0 {
		t.Errorf("afterwards %v sales shed and %v wait, want 1 and 0", shed, waiting)
	}
	if n := metric(t, metrics, "hoko_sale_queue_seconds"); n != 4 {
		t.Errorf("%v sales waited, want 4: those that were not shed", n)
	}
}

func TestBatch_IsBounded(t *testing.T) {
	metrics := prometheus.NewRegistry()
	_, wire, store := openTappedShop(t, withMetrics(metrics), func(o *postgres.Options) { o.Batch = 4 })
	var sales []*sale.Sale
	for i := range 10 {
		sales = append(sales, sell(fmt.Sprint("k", i)))
	}
	outcomes := queueAndSend(t, wire, store, sales...)
	expectRecorded(t, outcomes...)
	if count, sum := statements(t, metrics); count != 3 || sum != 10 {
		t.Errorf("%d statements of %v sales, want 3 of 10", count, sum)
	}
}
