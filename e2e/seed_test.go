package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The rows of the published example, and the keys that tests call with.
const (
	workspaceID = "ws_1"
	fullKey     = "hoko_key_with_conversions_write"
	readOnlyKey = "hoko_key_without_conversions_write"
)

const seedSQL = `
INSERT INTO hoko.workspaces (id, name) VALUES ('ws_1', 'One'), ('ws_2', 'Two');
INSERT INTO hoko.links (id, workspace_id, url, short_url, collection_id, partner_id, tenant_id, external_id, created_at)
VALUES ('link_xyz', 'ws_1', 'https://example.com', 'https://hoko.to/abc123', '550e8400-e29b-41d4-a716-446655440000',
        'partner_123', 'tenant_456', 'ext_789', '2024-01-01T00:00:00Z'),
       ('link_two', 'ws_2', 'https://example.org', 'https://hoko.to/two', NULL, NULL, NULL, NULL, '2024-01-01T00:00:00Z');
INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('click_abc123', 'ws_1', 'link_xyz'), ('click_two', 'ws_2', 'link_two');
INSERT INTO hoko.customers (id, workspace_id, external_id, name) VALUES ('customer_123', 'ws_1', 'customer_123', 'John Doe');
INSERT INTO hoko.leads (id, workspace_id, customer_id, click_id, link_id, event_name)
VALUES ('lead_1', 'ws_1', 'customer_123', 'click_abc123', 'link_xyz', 'Sign up');
`

// db is a connection of the test's own to the database of an edge.
type db struct {
	*pgx.Conn
	t testing.TB
}

// seed fills a database with the published example and two keys, and returns a connection to it.
func seed(t testing.TB, dsn string) db {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	d := db{conn, t}
	d.exec(seedSQL)
	d.key(fullKey, "conversionsWrite")
	d.key(readOnlyKey, "linksRead")
	return d
}

func (d db) exec(sql string, args ...any) {
	d.t.Helper()
	if _, err := d.Exec(d.t.Context(), sql, args...); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
}

// key gives workspace ws_1 a key.
func (d db) key(key string, scopes ...string) {
	d.t.Helper()
	hash := sha256.Sum256([]byte(key))
	d.exec(`INSERT INTO hoko.api_keys (id, workspace_id, name, key_hash, key_start, scopes) VALUES ($1, 'ws_1', 'a key', $2, $3, $4)`,
		keyID(key), hash[:], key[:8], scopes)
}

func (d db) text(sql string, args ...any) string {
	d.t.Helper()
	var text string
	if err := d.QueryRow(d.t.Context(), sql, args...).Scan(&text); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
	return text
}

func (d db) count(sql string, args ...any) int {
	d.t.Helper()
	var n int
	if err := d.QueryRow(d.t.Context(), sql, args...).Scan(&n); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func (d db) sales() int { d.t.Helper(); return d.count("SELECT count(*) FROM hoko.sales") }

// keyID is the id under which a key is stored: the key itself must be found nowhere.
func keyID(key string) string {
	hash := sha256.Sum256([]byte(key))
	return "key_" + hex.EncodeToString(hash[:4])
}
