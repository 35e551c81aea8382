package postgres_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/sale"
)

// catalogue is what the sales of these tests can be attributed to: in workspace
// w1 the links l1 (all columns) and l2 (none but the necessary), the clicks c1
// and c2 on them, and c3 on a link that does not exist; in w2 the link x1 and
// the click y1.
const catalogue = `
INSERT INTO hoko.workspaces (id) VALUES ('w1'), ('w2');
INSERT INTO hoko.links (id, workspace_id, url, short_url, title, description, image, utm, collection_id, partner_id, tenant_id, external_id, created_at) VALUES
	('l1', 'w1', 'https://example.com/?a=1&b=<ä>', 'https://hoko.to/abc', 'Tïtle', 'Descr', 'https://example.com/i.png',
	 '{"source": "s", "medium": "m"}', 'col', 'par', 'ten', 'ext', '2024-01-02T03:04:05.678901Z');
INSERT INTO hoko.links (id, workspace_id, url, short_url, created_at) VALUES
	('l2', 'w1', 'https://example.com/2', 'https://hoko.to/2', '2024-01-01T00:00:00Z'),
	('x1', 'w2', 'https://example.com/x', 'https://hoko.to/x', '2024-01-01T00:00:00Z');
INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('c1', 'w1', 'l1'), ('c2', 'w1', 'l2'), ('c3', 'w1', 'none'), ('c4', 'w1', 'x1'), ('y1', 'w2', 'x1');
`

// shop is a database with the catalogue, and what its tests look at.
type shop struct {
	database
	dsn string
}

func openShop(t testing.TB) *shop {
	t.Helper()
	dsn := testenv.Database(t)
	s := &shop{connect(t, dsn), dsn}
	s.exec(catalogue)
	return s
}

// store over the shop's database; change alters its options.
func (s *shop) store(change ...func(*postgres.Options)) *postgres.SaleStore {
	s.t.Helper()
	return openStore(s.t, s.dsn, change...)
}

func openStore(t testing.TB, dsn string, change ...func(*postgres.Options)) *postgres.SaleStore {
	t.Helper()
	options := postgres.Options{DSN: dsn, SaleTimeout: hangGuard}
	for _, c := range change {
		c(&options)
	}
	store, err := postgres.NewSaleStore(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), hangGuard)
		defer cancel()
		if err := store.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return store
}

func oneWriter(o *postgres.Options) { o.Writers = 1 }

func withTimeout(d time.Duration) func(*postgres.Options) {
	return func(o *postgres.Options) { o.SaleTimeout = d }
}

func withMetrics(r *prometheus.Registry) func(*postgres.Options) {
	return func(o *postgres.Options) { o.Metrics = r }
}

// sell is a sale by click c1 to a customer named like its id.
func sell(customer string, change ...func(*sale.Sale)) *sale.Sale {
	s := &sale.Sale{
		ID:          uuid.Must(uuid.NewV7()),
		WorkspaceID: "w1",
		Request: &sale.Request{
			CustomerExternalID: customer, CustomerName: customer,
			Amount: 100, Currency: "usd", EventName: "Purchase", ClickID: "c1",
		},
	}
	for _, c := range change {
		c(s)
	}
	if s.IdempotencyKey != "" {
		s.Fingerprint = s.Request.Fingerprint()
	}
	return s
}

func keyed(key string) func(*sale.Sale)     { return func(s *sale.Sale) { s.IdempotencyKey = key } }
func named(name string) func(*sale.Sale)    { return func(s *sale.Sale) { s.Request.CustomerName = name } }
func costing(amount int64) func(*sale.Sale) { return func(s *sale.Sale) { s.Request.Amount = amount } }
func byClick(id string) func(*sale.Sale)    { return func(s *sale.Sale) { s.Request.ClickID = id } }
func byLead(event string) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.LeadEventName = event }
}
func inWorkspace(id string) func(*sale.Sale) { return func(s *sale.Sale) { s.WorkspaceID = id } }
func as(id uuid.UUID) func(*sale.Sale)       { return func(s *sale.Sale) { s.ID = id } }
func noting(metadata string) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.Metadata = []byte(metadata) }
}

func mailing(email sale.Optional) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.CustomerEmail = email }
}

func pictured(avatar sale.Optional) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.CustomerAvatar = avatar }
}

var (
	keep  = sale.Optional{}
	clear = sale.Optional{Given: true}
)

func set(text string) sale.Optional { return sale.Optional{Given: true, Value: &text} }

// outcome is what Record returned.
type outcome struct {
	*sale.Recorded
	err error
}

// record records and waits.
func record(t testing.TB, store *postgres.SaleStore, s *sale.Sale) outcome {
	t.Helper()
	recorded, err := store.Record(guarded(t), s)
	return outcome{recorded, err}
}

// mustRecord fails the test where the sale is not recorded.
func mustRecord(t testing.TB, store *postgres.SaleStore, s *sale.Sale) *sale.Recorded {
	t.Helper()
	got := record(t, store, s)
	if got.err != nil {
		t.Fatal(got.err)
	}
	return got.Recorded
}

// begin records in the background.
func begin(t testing.TB, store *postgres.SaleStore, s *sale.Sale) <-chan outcome {
	return beginWithin(t, store, s, hangGuard)
}

func beginWithin(t testing.TB, store *postgres.SaleStore, s *sale.Sale, timeout time.Duration) <-chan outcome {
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

// queue begins sales whose order in the queue is theirs here; the store must not be able to send them.
func queue(t testing.TB, store *postgres.SaleStore, sales ...*sale.Sale) []<-chan outcome {
	t.Helper()
	var outcomes []<-chan outcome
	for _, s := range sales {
		before := store.Stats().Queued
		outcomes = append(outcomes, begin(t, store, s))
		until(t, "the sale is in the queue", func() bool { return store.Stats().Queued > before })
	}
	return outcomes
}

func wait(t testing.TB, done <-chan outcome) outcome {
	t.Helper()
	select {
	case got := <-done:
		return got
	case <-time.After(hangGuard):
		t.Fatal("no answer")
		return outcome{}
	}
}

// until returns once ok does, for what nobody signals.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for give := time.Now().Add(hangGuard); !ok(); runtime.Gosched() {
		if time.Now().After(give) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// untilBlocked returns once a session of an edge waits for a lock.
func (s *shop) untilBlocked() {
	s.t.Helper()
	until(s.t, "the edge waits for a lock", func() bool { return s.blocked() > 0 })
}

func (s *shop) blocked() int {
	return value[int](s.database, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "+edges)
}

// edges is where pg_stat_activity shows a connection of an edge to this database.
const edges = "datname = current_database() AND application_name = 'hoko-edge'"

func (s *shop) connections() int {
	return value[int](s.database, "SELECT count(*) FROM pg_stat_activity WHERE "+edges)
}

// sales is how many of the shop's sales meet the condition.
func (s *shop) sales(condition string, args ...any) int {
	s.t.Helper()
	return value[int](s.database, "SELECT count(*) FROM hoko.sales WHERE "+condition, args...)
}

// rows is all of a query's rows as text, a line each.
func (s *shop) rows(query string, args ...any) string {
	s.t.Helper()
	return value[string](s.database, "SELECT coalesce(string_agg(q::text, E'\\n'), '') FROM ("+query+") q", args...)
}

// ownServer is a Postgres of the test's own with the shop's catalogue.
func ownServer(t *testing.T) (server *testenv.OwnPostgres, dsn string, db database) {
	t.Helper()
	server = testenv.Postgres(t)
	dsn = server.DSN("postgres")
	if err := postgres.Migrate(guarded(t), dsn, nil); err != nil {
		t.Fatal(err)
	}
	db = connect(t, dsn)
	db.exec(catalogue)
	return server, dsn, db
}

// another session on the shop's database.
func (s *shop) another() database {
	s.t.Helper()
	return connect(s.t, s.dsn)
}

// statements is how many statements a store with these metrics has executed, and how many sales were in them.
func statements(t testing.TB, r *prometheus.Registry) (count uint64, sales float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "hoko_sale_batch_size" {
			h := f.GetMetric()[0].GetHistogram()
			return h.GetSampleCount(), h.GetSampleSum()
		}
	}
	t.Fatal("no batch size")
	return 0, 0
}

// metric is the value of a counter or gauge without labels.
func metric(t testing.TB, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if m := f.GetMetric(); f.GetName() == name {
			return m[0].GetCounter().GetValue() + m[0].GetGauge().GetValue() // it is one of them
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

func lines(text ...string) string { return strings.Join(text, "\n") }
