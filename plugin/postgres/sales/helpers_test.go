package sales_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

type shop struct{ *pgtest.Shop }

func openShop(t testing.TB) *shop {
	t.Helper()
	return &shop{pgtest.OpenShop(t)}
}

func openShopAndStore(t testing.TB, change ...func(*postgres.Options)) (*shop, *sales.Store) {
	t.Helper()
	s := openShop(t)
	return s, s.Store(change...)
}

// openTappedShop returns a store with one writer, whose connections pass through wire.
func openTappedShop(t testing.TB, change ...func(*postgres.Options)) (s *shop, wire *pgtest.Wire, store *sales.Store) {
	t.Helper()
	s = openShop(t)
	wire = pgtest.Tap(t, s.DSN)
	return s, wire, openStore(t, wire.DSN, append(change, oneWriter)...)
}

var (
	openStore   = pgtest.OpenStore
	sell        = pgtest.Sell
	keyed       = pgtest.WithKey
	named       = pgtest.WithName
	costing     = pgtest.WithAmount
	byClick     = pgtest.ByClick
	byLead      = pgtest.ByLead
	inWorkspace = pgtest.InWorkspace
	as          = pgtest.WithID
	noting      = pgtest.WithMetadata
	mailing     = pgtest.WithEmail
	pictured    = pgtest.WithAvatar
	keep        = pgtest.Keep
	clear       = pgtest.Clear
	set         = pgtest.Set
	mustRecord  = pgtest.MustRecord
	until       = testenv.Until
	text        = pgtest.Text
	isUnknown   = pgtest.IsUnknown
	statements  = pgtest.Statements
)

func oneWriter(o *postgres.Options) { o.Writers = 1 }

func withTimeout(d time.Duration) func(*postgres.Options) {
	return func(o *postgres.Options) { o.SaleTimeout = d }
}

func withMetrics(r *prometheus.Registry) func(*postgres.Options) {
	return func(o *postgres.Options) { o.Metrics = r }
}

type outcome struct {
	*sale.Recorded
	err error
}

func record(t testing.TB, store *sales.Store, s *sale.Sale) outcome {
	t.Helper()
	recorded, err := store.Record(testenv.Guarded(t), s)
	return outcome{recorded, err}
}

func begin(t testing.TB, store *sales.Store, s *sale.Sale) <-chan outcome {
	return beginWithin(t, store, s, testenv.HangGuard)
}

func beginWithin(t testing.TB, store *sales.Store, s *sale.Sale, timeout time.Duration) <-chan outcome {
	t.Helper()
	done := make(chan outcome, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		recorded, err := store.Record(ctx, s)
		done <- outcome{recorded, err}
	}()
	return done
}

// queue begins sales in this order. The store must be unable to send them.
func queue(t testing.TB, store *sales.Store, sales ...*sale.Sale) []<-chan outcome {
	t.Helper()
	var outcomes []<-chan outcome
	for _, s := range sales {
		before := store.Stats().Queued
		outcomes = append(outcomes, begin(t, store, s))
		until(t, "the sale is in the queue", func() bool { return store.Stats().Queued > before })
	}
	return outcomes
}

// queueAndSend begins sales that share a batch: wire has kept the store from sending until then.
func queueAndSend(
	t testing.TB, wire *pgtest.Wire, store *sales.Store, sales ...*sale.Sale,
) []<-chan outcome {
	t.Helper()
	defer wire.Resume()
	return queue(t, store, sales...)
}

func wait(t testing.TB, done <-chan outcome) outcome {
	t.Helper()
	select {
	case got := <-done:
		return got
	case <-time.After(testenv.HangGuard):
		t.Fatal("no answer")
		return outcome{}
	}
}

func expectRecorded(t testing.TB, outcomes ...<-chan outcome) {
	t.Helper()
	for i, o := range outcomes {
		if got := wait(t, o); got.err != nil {
			t.Errorf("sale %d: %v", i, got.err)
		}
	}
}

func expectError(t testing.TB, got outcome, want error) {
	t.Helper()
	if !errors.Is(got.err, want) {
		t.Errorf("error %v, want %v", got.err, want)
	}
}

func expectUnknown(t testing.TB, got outcome) {
	t.Helper()
	if !isUnknown(got.err) || errors.Is(got.err, sale.ErrNotRecorded) || errors.Is(got.err, sale.ErrUnattributed) {
		t.Errorf("error %v, want an unknown outcome", got.err)
	}
}

func (s *shop) expectSales(t testing.TB, want int, condition string, args ...any) {
	t.Helper()
	if n := s.Sales(condition, args...); n != want {
		t.Errorf("%d sales with %s, want %d", n, condition, want)
	}
}

func (s *shop) expectRows(t testing.TB, want, query string, args ...any) {
	t.Helper()
	if rows := s.Rows(query, args...); rows != want {
		t.Errorf("%s\nreturns\n%s\nwant\n%s", query, rows, want)
	}
}

func (s *shop) untilBlocked() {
	s.T.Helper()
	until(s.T, "the edge waits for a lock", func() bool { return s.blocked() > 0 })
}

func (s *shop) blocked() int {
	return testenv.Value[int](s.DB, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "+edges)
}

// edges selects the edges' connections to this database in pg_stat_activity.
const edges = "datname = current_database() AND application_name = 'hoko-edge'"

func (s *shop) connections() int {
	return testenv.Value[int](s.DB, "SELECT count(*) FROM pg_stat_activity WHERE "+edges)
}

// metric returns the value of a counter or gauge, or the number of samples of a histogram: the sum
// over all labels, or that of one label.
func metric(t testing.TB, r *prometheus.Registry, name string, label ...string) float64 {
	t.Helper()
	families, err := r.Gather()
	testenv.NoError(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		sum := 0.0
		for _, m := range f.GetMetric() {
			if len(label) > 0 && m.GetLabel()[0].GetValue() != label[0] {
				continue
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() +
				float64(m.GetHistogram().GetSampleCount()) // all but one are 0
		}
		return sum
	}
	t.Fatalf("no %s", name)
	return 0
}

func lines(text ...string) string { return strings.Join(text, "\n") }
