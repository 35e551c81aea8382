package admin_test

import (
	"crypto/sha256"
	"testing"

	"github.com/google/uuid"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

func seedDemo(t *testing.T, dsn, key string) string {
	t.Helper()
	seeded, err := admin.SeedDemo(testenv.Guarded(t), dsn, key)
	if err != nil {
		t.Fatal(err)
	}
	if !admin.ValidKey(seeded) {
		t.Fatalf("%q is no key", seeded)
	}
	return seeded
}

// rows is how many there are, in the demo workspace and elsewhere.
func rows(d testenv.DB) (all int) {
	return testenv.Value[int](d, `SELECT (SELECT count(*) FROM hoko.workspaces) + (SELECT count(*) FROM hoko.links) + (SELECT count(*) FROM hoko.clicks)
		+ (SELECT count(*) FROM hoko.customers) + (SELECT count(*) FROM hoko.leads) + (SELECT count(*) FROM hoko.api_keys)`)
}

func TestSeedDemo_AttributesASale(t *testing.T) {
	dsn := testenv.Database(t)
	seedDemo(t, dsn, "")
	store, err := sales.NewStore(postgres.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close(testenv.Guarded(t)) })
	recorded, err := store.Record(testenv.Guarded(t), &sale.Sale{
		ID:          uuid.Must(uuid.NewV7()),
		WorkspaceID: admin.DemoWorkspace,
		Request:     &sale.Request{CustomerExternalID: "customer_123", CustomerName: "John Doe", Currency: "usd", EventName: "Purchase"},
	})
	if err != nil || recorded.Attribution != sale.LatestLead {
		t.Errorf("%+v, %v", recorded, err)
	}
}

func TestSeedDemo_IsIdempotent(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	key := seedDemo(t, dsn, "")
	seeded := rows(d)
	if again := seedDemo(t, dsn, key); again != key || rows(d) != seeded {
		t.Errorf("%d rows became %d; the same key: %t", seeded, rows(d), again == key)
	}
	if other := testenv.Database(t); seedDemo(t, other, key) != key {
		t.Error("another database did not take the key over")
	}
}

func TestSeedDemo_ReplacesInvalidKey(t *testing.T) {
	for name, change := range map[string]string{
		"revoked":              `UPDATE hoko.api_keys SET revoked_at = now()`,
		"expired":              `UPDATE hoko.api_keys SET expires_at = now() - interval '1 s'`,
		"without the scope":    `UPDATE hoko.api_keys SET scopes = '{linksRead}'`,
		"of another workspace": `INSERT INTO hoko.workspaces (id) VALUES ('other'); UPDATE hoko.api_keys SET workspace_id = 'other'`,
	} {
		t.Run(name, func(t *testing.T) {
			dsn := testenv.Database(t)
			d := testenv.Connect(t, dsn)
			key := seedDemo(t, dsn, "")
			d.Exec(change)
			if seedDemo(t, dsn, key) == key {
				t.Error("it was not")
			}
		})
	}
	dsn := testenv.Database(t)
	if seedDemo(t, dsn, "mistyped") == "mistyped" {
		t.Error("a malformed one was not")
	}
}

func TestSeedDemo_EnablesItsWorkspace(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	key := seedDemo(t, dsn, "")
	d.Exec(`UPDATE hoko.workspaces SET disabled_at = now()`)
	if seedDemo(t, dsn, key) != key || testenv.Value[bool](d, `SELECT disabled_at IS NOT NULL FROM hoko.workspaces`) {
		t.Error("it was not")
	}
}

func TestSeedDemo_TouchesNoOtherWorkspace(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	d.Exec(`INSERT INTO hoko.workspaces (id, name, disabled_at) VALUES ('other', 'Demo', now());
INSERT INTO hoko.customers (id, workspace_id, external_id, name) VALUES ('other_customer', 'other', 'customer_123', 'Jane Doe');
INSERT INTO hoko.api_keys (workspace_id, key_hash, revoked_at) VALUES ('other', sha256('a key'), now())`)
	const others = `SELECT md5(string_agg(x, '' ORDER BY x)) FROM (
SELECT w.xmin::text || w::text AS x FROM hoko.workspaces w WHERE id = 'other' UNION ALL
SELECT c.xmin::text || c::text FROM hoko.customers c WHERE workspace_id = 'other' UNION ALL
SELECT k.xmin::text || k::text FROM hoko.api_keys k WHERE workspace_id = 'other') rows`
	before := testenv.Value[string](d, others)
	hash := sha256.Sum256([]byte(seedDemo(t, dsn, "")))
	if testenv.Value[string](d, others) != before {
		t.Error("another workspace's rows changed")
	}
	if of := testenv.Value[string](d, `SELECT workspace_id FROM hoko.api_keys WHERE key_hash = $1`, hash[:]); of != admin.DemoWorkspace {
		t.Errorf("the key is of workspace %q", of)
	}
}
