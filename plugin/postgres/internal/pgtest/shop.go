package pgtest

import (
	"context"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/postgres/sales"
)

// Catalog inserts what sales can be attributed to. Workspace w1 has the links l1 (with all columns)
// and l2 (with the required columns), the clicks c1 and c2 on them, c3 on a missing link, and c4 on
// a link of workspace w2. Workspace w2 has the link x1 and the click y1.
const Catalog = `
INSERT INTO hoko.workspaces (id) VALUES ('w1'), ('w2');
INSERT INTO hoko.links (id, workspace_id, url, short_url, title, description, image,
	utm, collection_id, partner_id, tenant_id, external_id, created_at) VALUES
	('l1', 'w1', 'https://example.com/?a=1&b=<ä>', 'https://hoko.to/abc', 'Tïtle', 'Descr',
	 'https://example.com/i.png', '{"source": "s", "medium": "m"}',
	 'col', 'par', 'ten', 'ext', '2024-01-02T03:04:05.678901Z');
INSERT INTO hoko.links (id, workspace_id, url, short_url, created_at) VALUES
	('l2', 'w1', 'https://example.com/2', 'https://hoko.to/2', '2024-01-01T00:00:00Z'),
	('x1', 'w2', 'https://example.com/x', 'https://hoko.to/x', '2024-01-01T00:00:00Z');
INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES
	('c1', 'w1', 'l1'), ('c2', 'w1', 'l2'), ('c3', 'w1', 'none'), ('c4', 'w1', 'x1'), ('y1', 'w2', 'x1');
`

// Shop is a database that contains the Catalog, and a session on it.
type Shop struct {
	testenv.DB
	DSN string
}

// OpenShop creates a database with the Catalog.
func OpenShop(t testing.TB) *Shop {
	t.Helper()
	dsn := testenv.Database(t)
	s := &Shop{testenv.Connect(t, dsn), dsn}
	s.Exec(Catalog)
	return s
}

// Store opens a store on the shop's database. The functions change its options.
func (s *Shop) Store(change ...func(*postgres.Options)) *sales.Store {
	s.T.Helper()
	return OpenStore(s.T, s.DSN, change...)
}

// OpenStore opens a store and closes it at the end of the test.
func OpenStore(t testing.TB, dsn string, change ...func(*postgres.Options)) *sales.Store {
	t.Helper()
	options := postgres.Options{DSN: dsn, SaleTimeout: testenv.HangGuard}
	for _, c := range change {
		c(&options)
	}
	store, err := sales.NewStore(options)
	testenv.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.HangGuard)
		defer cancel()
		if err := store.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return store
}

// Another opens another session on the shop's database.
func (s *Shop) Another() testenv.DB {
	s.T.Helper()
	return testenv.Connect(s.T, s.DSN)
}

// Lock executes sql in another session, whose transaction it leaves open.
func (s *Shop) Lock(sql string, args ...any) testenv.DB {
	s.T.Helper()
	other := s.Another()
	other.Exec("BEGIN")
	other.Exec(sql, args...)
	return other
}

// Sales returns the number of sales that meet the condition.
func (s *Shop) Sales(condition string, args ...any) int {
	s.T.Helper()
	return s.Count("SELECT count(*) FROM hoko.sales WHERE "+condition, args...)
}

// Rows returns the rows of a query as text, one per line.
func (s *Shop) Rows(query string, args ...any) string {
	s.T.Helper()
	return s.Text("SELECT coalesce(string_agg(q::text, E'\\n'), '') FROM ("+query+") q", args...)
}

// OpenKeys opens a key store and closes it at the end of the test.
func OpenKeys(t testing.TB, o postgres.Options) *keys.Store {
	t.Helper()
	store, err := keys.NewStore(o)
	testenv.NoError(t, err)
	t.Cleanup(store.Close)
	return store
}

// WantError fails the test if err is nil or does not contain text.
func WantError(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got error %v, want %q", err, text)
	}
}
