package harness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/tern/v2/migrate"

	"hoko.to/edge/internal/testenv"
)

// Keys of ws_1, the workspace of the published example.
const (
	FullKey     = "hoko_key_with_conversions_write"
	ReadOnlyKey = "hoko_key_without_conversions_write"
)

// seedSQL inserts the rows of the published example and those of a second workspace.
const seedSQL = `
INSERT INTO hoko.workspaces (id, name) VALUES ('ws_1', 'One'), ('ws_2', 'Two');
INSERT INTO hoko.links (id, workspace_id, url, short_url, collection_id, partner_id, tenant_id, external_id, created_at)
VALUES ('link_xyz', 'ws_1', 'https://example.com', 'https://hoko.to/abc123', '550e8400-e29b-41d4-a716-446655440000',
        'partner_123', 'tenant_456', 'ext_789', '2024-01-01T00:00:00Z'),
       ('link_two', 'ws_2', 'https://example.org', 'https://hoko.to/two',
        NULL, NULL, NULL, NULL, '2024-01-01T00:00:00Z');
INSERT INTO hoko.clicks (id, workspace_id, link_id)
VALUES ('click_abc123', 'ws_1', 'link_xyz'), ('click_two', 'ws_2', 'link_two');
INSERT INTO hoko.customers (id, workspace_id, external_id, name)
VALUES ('customer_123', 'ws_1', 'customer_123', 'John Doe');
INSERT INTO hoko.leads (id, workspace_id, customer_id, click_id, link_id, event_name)
VALUES ('lead_1', 'ws_1', 'customer_123', 'click_abc123', 'link_xyz', 'Sign up');
`

// DB is a test's connection to the database of an edge.
type DB struct{ testenv.DB }

// Connect opens a DB and closes it when the test ends.
func Connect(t testing.TB, dsn string) DB {
	t.Helper()
	return DB{testenv.Connect(t, dsn)}
}

// Seed inserts the published example and two keys, and returns the connection that it used.
func Seed(t testing.TB, dsn string) DB {
	t.Helper()
	d := Connect(t, dsn)
	d.Exec(seedSQL)
	d.AddKey(FullKey, "conversionsWrite")
	d.AddKey(ReadOnlyKey, "linksRead")
	return d
}

// AddKey adds a key to workspace ws_1.
func (d DB) AddKey(key string, scopes ...string) {
	d.T.Helper()
	hash := sha256.Sum256([]byte(key))
	d.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, name, key_hash, key_start, scopes)
		VALUES ($1, 'ws_1', 'a key', $2, $3, $4)`, KeyID(key), hash[:], key[:8], scopes)
}

// Sales returns the number of recorded sales.
func (d DB) Sales() int { d.T.Helper(); return d.Count("SELECT count(*) FROM hoko.sales") }

// WantSales fails the test unless this many sales are recorded.
func (d DB) WantSales(t testing.TB, want int) {
	t.Helper()
	if n := d.Sales(); n != want {
		t.Fatalf("%d sales, want %d", n, want)
	}
}

// KeyID returns the ID under which a key is stored. Unlike the key, it may appear in logs.
func KeyID(key string) string {
	hash := sha256.Sum256([]byte(key))
	return "key_" + hex.EncodeToString(hash[:4])
}

// MigrateTo creates the schema hoko in an empty database, in an earlier version.
func MigrateTo(t testing.TB, dsn string, version int32) {
	t.Helper()
	d, ctx := Connect(t, dsn), testenv.Guarded(t)
	defer d.Close()
	d.Exec("CREATE SCHEMA hoko")
	m, err := migrate.NewMigrator(ctx, d.Conn, "hoko.schema_version")
	testenv.NoError(t, err)
	err = errors.Join(m.LoadMigrations(os.DirFS("../../plugin/postgres/migrations")), m.MigrateTo(ctx, version))
	testenv.NoError(t, err)
}

var (
	grantStatement = regexp.MustCompile(`(?ms)^GRANT .*?;$`)
	hokoName       = regexp.MustCompile(`hoko\.\w+`)
)

// ApplyRole runs docs/role.sql as it was for the schema's version: without what the schema lacks.
func (d DB) ApplyRole() {
	d.T.Helper()
	d.Exec(grantStatement.ReplaceAllStringFunc(ReadRoot(d.T, "docs/role.sql"), func(grant string) string {
		for _, name := range hokoName.FindAllString(grant, -1) {
			if testenv.Value[bool](d.DB, `SELECT to_regclass($1) IS NOT NULL OR to_regproc($1) IS NOT NULL`, name) {
				continue
			}
			grant = strings.Replace(grant, ", "+name, "", 1)
			if strings.Contains(grant, name) { // it is about nothing else
				return ""
			}
		}
		return grant
	}))
}
