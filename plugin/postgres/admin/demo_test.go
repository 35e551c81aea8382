package admin_test

import (
	"crypto/sha256"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

func seedDemo(t *testing.T, dsn, key string) string {
	t.Helper()
	seeded, err := admin.SeedDemo(testenv.Guarded(t), dsn, key)
	testenv.NoError(t, err)
	if !admin.ValidKey(seeded) {
		t.Fatalf("%q is not a valid key", seeded)
	}
	return seeded
}

// countRows returns the number of rows in all tables that SeedDemo writes.
func countRows(d testenv.DB) int {
	return d.Count(`SELECT (SELECT count(*) FROM hoko.workspaces) + (SELECT count(*) FROM hoko.links)
		+ (SELECT count(*) FROM hoko.clicks) + (SELECT count(*) FROM hoko.customers)
		+ (SELECT count(*) FROM hoko.leads) + (SELECT count(*) FROM hoko.api_keys)`)
}

func TestSeedDemo_AttributesASale(t *testing.T) {
	dsn := testenv.Database(t)
	seedDemo(t, dsn, "")
	s := pgtest.Sell("customer_123", pgtest.InWorkspace(admin.DemoWorkspace), pgtest.ByClick(""))
	if recorded := pgtest.MustRecord(t, pgtest.OpenStore(t, dsn), s); recorded.Attribution != sale.LatestLead {
		t.Errorf("%+v", recorded)
	}
}

func TestSeedDemo_IsIdempotent(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	key := seedDemo(t, dsn, "")
	seeded := countRows(d)
	if again := seedDemo(t, dsn, key); again != key || countRows(d) != seeded {
		t.Errorf("%d rows became %d; same key: %t", seeded, countRows(d), again == key)
	}
	if other := testenv.Database(t); seedDemo(t, other, key) != key {
		t.Error("another database got another key")
	}
}

func TestSeedDemo_ReplacesInvalidKey(t *testing.T) {
	for name, change := range map[string]string{
		"revoked":           `UPDATE hoko.api_keys SET revoked_at = now()`,
		"expired":           `UPDATE hoko.api_keys SET expires_at = now() - interval '1 s'`,
		"without the scope": `UPDATE hoko.api_keys SET scopes = '{linksRead}'`,
		"of another workspace": `INSERT INTO hoko.workspaces (id) VALUES ('other');
			UPDATE hoko.api_keys SET workspace_id = 'other'`,
	} {
		t.Run(name, func(t *testing.T) {
			dsn := testenv.Database(t)
			d := testenv.Connect(t, dsn)
			key := seedDemo(t, dsn, "")
			d.Exec(change)
			if seedDemo(t, dsn, key) == key {
				t.Error("the key was not replaced")
			}
		})
	}
	dsn := testenv.Database(t)
	if seedDemo(t, dsn, "mistyped") == "mistyped" {
		t.Error("a malformed key was not replaced")
	}
}

func TestSeedDemo_EnablesItsWorkspace(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	key := seedDemo(t, dsn, "")
	d.Exec(`UPDATE hoko.workspaces SET disabled_at = now()`)
	if seedDemo(t, dsn, key) != key || testenv.Value[bool](d, `SELECT disabled_at IS NOT NULL FROM hoko.workspaces`) {
		t.Error("the key was replaced, or the workspace is disabled")
	}
}

func TestSeedDemo_TouchesNoOtherWorkspace(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	d.Exec(`INSERT INTO hoko.workspaces (id, name, disabled_at) VALUES ('other', 'Demo', now());
INSERT INTO hoko.customers (id, workspace_id, external_id) VALUES ('other_customer', 'other', 'customer_123');
INSERT INTO hoko.api_keys (workspace_id, key_hash, revoked_at) VALUES ('other', sha256('a key'), now())`)
	const others = `SELECT md5(string_agg(x, '' ORDER BY x)) FROM (
SELECT w.xmin::text || w::text AS x FROM hoko.workspaces w WHERE id = 'other' UNION ALL
SELECT c.xmin::text || c::text FROM hoko.customers c WHERE workspace_id = 'other' UNION ALL
SELECT k.xmin::text || k::text FROM hoko.api_keys k WHERE workspace_id = 'other') rows`
	before := d.Text(others)
	hash := sha256.Sum256([]byte(seedDemo(t, dsn, "")))
	if d.Text(others) != before {
		t.Error("another workspace's rows changed")
	}
	const workspace = `SELECT workspace_id FROM hoko.api_keys WHERE key_hash = $1`
	if got := d.Text(workspace, hash[:]); got != admin.DemoWorkspace {
		t.Errorf("the key belongs to workspace %q", got)
	}
}
