package admin_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

var scopes = []string{"conversionsWrite"}

func createKey(t *testing.T, dsn string, wanted admin.NewKey) admin.CreatedKey {
	t.Helper()
	created, err := admin.CreateKey(testenv.Guarded(t), dsn, wanted)
	testenv.NoError(t, err)
	return created
}

func TestCreateKey_IsStoredAsRequested(t *testing.T) {
	dsn := testenv.Database(t)
	testenv.Connect(t, dsn).Exec(`INSERT INTO hoko.workspaces (id, name) VALUES ('w1', 'Acme')`)
	expires := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	store := pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	conversions, _ := apikey.ParseScope("conversionsWrite")
	limited, hosts := limit.Limit{Rate: 5, Period: time.Hour, Burst: 7}, []string{"example.com", "*.example.com"}
	for name, c := range map[string]struct {
		wanted admin.NewKey
		want   apikey.Key
	}{
		"minimal": {
			admin.NewKey{Workspace: "w1", Scopes: scopes},
			apikey.Key{Scopes: conversions},
		},
		"all": {
			admin.NewKey{Workspace: "Acme", Name: "billing", Scopes: scopes, Hostnames: hosts,
				Limit: limited, ExpiresAt: expires},
			apikey.Key{Scopes: conversions, AllowedHostnames: hosts, Limit: limited, ExpiresAt: expires},
		},
		"rate only": {
			admin.NewKey{Workspace: "w1", Scopes: scopes, Limit: limit.Limit{Rate: 5}},
			apikey.Key{Scopes: conversions, Limit: limit.Limit{Rate: 5, Period: time.Minute, Burst: 5}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			created := createKey(t, dsn, c.wanted)
			if !admin.ValidKey(created.Key) || created.Start != created.Key[:9] {
				t.Errorf("created %+v", created)
			}
			hash := sha256.Sum256([]byte(created.Key))
			got, err := store.Key(testenv.Guarded(t), hash)
			testenv.NoError(t, err)
			c.want.ID, c.want.WorkspaceID, c.want.Hash = created.ID, "w1", hash
			if !reflect.DeepEqual(*got, c.want) {
				t.Errorf("got  %+v\nwant %+v", *got, c.want)
			}
		})
	}
}

func TestCreateKey_DoesNotStoreTheKey(t *testing.T) {
	dsn := testenv.Database(t)
	created := createKey(t, dsn, admin.NewKey{Workspace: "Acme", CreateWorkspace: true, Scopes: scopes})
	d := testenv.Connect(t, dsn)
	row := d.Text(`SELECT (SELECT to_json(k)::text FROM hoko.api_keys k)
		|| (SELECT to_json(w)::text FROM hoko.workspaces w) || (SELECT json_agg(a)::text FROM hoko.audit a)`)
	if strings.Contains(row, created.Key[:len(created.Start)+1]) {
		t.Errorf("stored more than the first characters: %s", row)
	}
	want := fmt.Sprintf(`{"start": "%s", "scopes": ["conversionsWrite"]}`, created.Start)
	if record := audited(t, d, "keys create", created); record != want {
		t.Errorf("recorded %s, want %s", record, want)
	}
}

func TestCreateKey_Workspace(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	wanted := func(workspace string, create bool) admin.NewKey {
		return admin.NewKey{Workspace: workspace, CreateWorkspace: create, Scopes: scopes}
	}
	wantError := func(workspace string, texts ...string) {
		t.Helper()
		_, err := admin.CreateKey(testenv.Guarded(t), dsn, wanted(workspace, false))
		for _, text := range texts {
			pgtest.WantError(t, err, text)
		}
	}
	wantError("Acme", "none yet", "--create-workspace")
	first := createKey(t, dsn, wanted("Acme", true))
	if again := createKey(t, dsn, wanted("Acme", true)); again.WorkspaceID != first.WorkspaceID {
		t.Error("the workspace was created twice")
	}
	wantError("Bcme", first.WorkspaceID+" (Acme)", "--create-workspace")
	db.Exec(`INSERT INTO hoko.workspaces (id, name) VALUES ('w2', 'Acme'), ('Acme2', 'x')`)
	wantError("Acme", "w2 (Acme)", first.WorkspaceID)
	db.Exec(`INSERT INTO hoko.workspaces (id, name) VALUES ('w3', 'w2')`)
	if created := createKey(t, dsn, wanted("w2", false)); created.WorkspaceID != "w2" {
		t.Errorf("workspace %s, want the one with this ID", created.WorkspaceID)
	}
	if n := db.Count(`SELECT count(*) FROM hoko.api_keys`); n != 3 {
		t.Errorf("%d keys, want 3", n)
	}
}

func TestCreateKey_InvalidIsRejected(t *testing.T) {
	dsn := testenv.Database(t)
	testenv.Connect(t, dsn).Exec(`INSERT INTO hoko.workspaces (id) VALUES ('w1')`)
	for name, c := range map[string]struct {
		change func(*admin.NewKey)
		want   string
	}{
		"no workspace":   {func(k *admin.NewKey) { k.Workspace = "" }, "workspace"},
		"no scope":       {func(k *admin.NewKey) { k.Scopes = nil }, "conversionsWrite"},
		"unknown scope":  {func(k *admin.NewKey) { k.Scopes = []string{"conversionswrite"} }, `"conversionswrite"`},
		"URL":            {func(k *admin.NewKey) { k.Hostnames = []string{"https://example.com"} }, "hostname"},
		"no host":        {func(k *admin.NewKey) { k.Hostnames = []string{"*."} }, "hostname"},
		"any host":       {func(k *admin.NewKey) { k.Hostnames = []string{"*"} }, "hostname"},
		"two hosts":      {func(k *admin.NewKey) { k.Hostnames = []string{"a.example,b.example"} }, "hostname"},
		"too many hosts": {func(k *admin.NewKey) { k.Hostnames = make([]string, 1001) }, "at most 1000 host names"},
		"expired":        {func(k *admin.NewKey) { k.ExpiresAt = time.Now().Add(-time.Minute) }, "in the past"},
		"no rate":        {func(k *admin.NewKey) { k.Limit.Burst = 5 }, "rate"},
		"absurd rate":    {func(k *admin.NewKey) { k.Limit.Rate = 2e9 }, "rate"},
	} {
		t.Run(name, func(t *testing.T) {
			wanted := admin.NewKey{Workspace: "w1", Scopes: scopes}
			c.change(&wanted)
			_, err := admin.CreateKey(testenv.Guarded(t), dsn, wanted)
			pgtest.WantError(t, err, c.want)
		})
	}
}

func TestListKeys_NewestFirst(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	db.Exec(`INSERT INTO hoko.workspaces (id, name) VALUES ('w1', 'one'), ('w2', 'two')`)
	db.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, name, key_hash, key_start, scopes, allowed_hostnames,
			rate_limit, expires_at, revoked_at, created_at) VALUES
		('k1', 'w1', 'old', sha256('1'), 'hoko_1', '{linksRead}', '{example.com}',
			5, '2031-01-01Z', '2030-01-01Z', '2026-01-01Z'),
		('k2', 'w2', '', sha256('2'), 'hoko_2', '{}', '{}', 0, NULL, NULL, '2026-01-02Z'),
		('k3', 'w1', '', sha256('3'), 'hoko_3', '{}', '{}', NULL, NULL, NULL, '2026-01-03Z')`)
	ids := func(workspace string) (ids []string) {
		t.Helper()
		keys, err := admin.ListKeys(testenv.Guarded(t), dsn, admin.KeyFilter{Workspace: workspace})
		testenv.NoError(t, err)
		for _, key := range keys {
			ids = append(ids, key.ID)
		}
		return ids
	}
	for workspace, want := range map[string][]string{"": {"k3", "k2", "k1"}, "w1": {"k3", "k1"}, "two": {"k2"}} {
		if got := ids(workspace); !reflect.DeepEqual(got, want) {
			t.Errorf("workspace %q: %v, want %v", workspace, got, want)
		}
	}
	_, err := admin.ListKeys(testenv.Guarded(t), dsn, admin.KeyFilter{Workspace: "three"})
	pgtest.WantError(t, err, "w1 (one), w2 (two)")
	keys, err := admin.ListKeys(testenv.Guarded(t), dsn, admin.KeyFilter{Workspace: "w1"})
	testenv.NoError(t, err)
	at := func(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
	want := admin.KeyInfo{
		ID: "k1", WorkspaceID: "w1", WorkspaceName: "one", Name: "old", Start: "hoko_1",
		Scopes: []string{"linksRead"}, Hostnames: []string{"example.com"},
		Limit:     limit.Limit{Rate: 5, Period: time.Minute, Burst: 5},
		ExpiresAt: at(2031), RevokedAt: at(2030), CreatedAt: at(2026),
	}
	if !reflect.DeepEqual(keys[1], want) {
		t.Errorf("got  %+v\nwant %+v", keys[1], want)
	}
	db.Exec(`UPDATE hoko.workspaces SET disabled_at = now() WHERE id = 'w1'`)
	keys, err = admin.ListKeys(testenv.Guarded(t), dsn, admin.KeyFilter{Workspace: "w1"})
	if err != nil || !keys[0].WorkspaceDisabled {
		t.Errorf("a key of a disabled workspace: %+v, %v", keys, err)
	}
}

func TestRevokeKey(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	wanted := admin.NewKey{Workspace: "Acme", CreateWorkspace: true, Scopes: scopes}
	store := pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	for name, text := range map[string]func(admin.CreatedKey) string{
		"by ID":      func(k admin.CreatedKey) string { return k.ID },
		"by start":   func(k admin.CreatedKey) string { return k.Start },
		"by key":     func(k admin.CreatedKey) string { return k.Key },
		"by SHA-256": func(k admin.CreatedKey) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(k.Key))) },
	} {
		t.Run(name, func(t *testing.T) {
			created, other := createKey(t, dsn, wanted), createKey(t, dsn, wanted)
			info, err := admin.RevokeKey(testenv.Guarded(t), dsn, text(created))
			if err != nil || info.ID != created.ID || info.RevokedAt.IsZero() {
				t.Fatalf("%+v, %v", info, err)
			}
			again, err := admin.RevokeKey(testenv.Guarded(t), dsn, text(created))
			if err != nil || !again.RevokedAt.Equal(info.RevokedAt) {
				t.Errorf("revoked again at %v, %v", again.RevokedAt, err)
			}
			for key, want := range map[string]bool{created.Key: true, other.Key: false} {
				got, err := store.Key(testenv.Guarded(t), sha256.Sum256([]byte(key)))
				if err != nil || got.Revoked != want {
					t.Errorf("%+v, %v", got, err)
				}
			}
			db.Exec(`TRUNCATE hoko.api_keys`)
		})
	}
	created, other := createKey(t, dsn, wanted), createKey(t, dsn, wanted)
	db.Exec(`UPDATE hoko.api_keys SET key_start = 'hoko_same'`)
	for name, c := range map[string]struct{ which, want string }{
		"nothing":        {"", "no key was named"},
		"unknown":        {"unknown", "no such key"},
		"mistyped":       {created.Key[:47] + "_", "no such key"},
		"incomplete":     {created.Key[:20], "checksum"},
		"unknown, valid": {admin.GenerateKey(), "no such key"},
		"several: first": {"hoko_same", created.ID},
		"several: other": {"hoko_same", other.ID},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := admin.RevokeKey(testenv.Guarded(t), dsn, c.which)
			pgtest.WantError(t, err, c.want)
			if err != nil && len(c.which) > 9 && strings.Contains(err.Error(), c.which) {
				t.Errorf("quotes what may be a key: %v", err)
			}
		})
	}
	if n := db.Count(`SELECT count(revoked_at) FROM hoko.api_keys`); n != 0 {
		t.Errorf("%d keys were revoked", n)
	}
	db.Exec(`UPDATE hoko.api_keys SET id = 'hoko_same' WHERE id = $1`, created.ID)
	if info, err := admin.RevokeKey(testenv.Guarded(t), dsn, "hoko_same"); err != nil || info.ID != "hoko_same" {
		t.Errorf("got %+v, %v, want the key with this ID", info, err)
	}
}

func TestAdmin_WithoutSchemaIsErrSchema(t *testing.T) {
	dsn := testenv.EmptyDatabase(t)
	for name, do := range map[string]func(context.Context) error{
		"create": func(ctx context.Context) error {
			_, err := admin.CreateKey(ctx, dsn, admin.NewKey{Workspace: "w", Scopes: []string{"linksRead"}})
			return err
		},
		"list":   func(ctx context.Context) error { _, err := admin.ListKeys(ctx, dsn, admin.KeyFilter{}); return err },
		"revoke": func(ctx context.Context) error { _, err := admin.RevokeKey(ctx, dsn, "k"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			if err := do(testenv.Guarded(t)); !errors.Is(err, postgres.ErrSchema) {
				t.Error(err)
			}
		})
	}
}

// A site's views may contain nulls in columns that edges do not read.
func TestListKeys_WithoutNames(t *testing.T) {
	dsn := testenv.Database(t)
	testenv.Connect(t, dsn).Exec(`ALTER TABLE hoko.workspaces ALTER name DROP NOT NULL;
		ALTER TABLE hoko.api_keys ALTER name DROP NOT NULL, ALTER key_start DROP NOT NULL;
		INSERT INTO hoko.workspaces (id, name) VALUES ('w', NULL);
		INSERT INTO hoko.api_keys (workspace_id, key_hash, name, key_start) VALUES ('w', sha256('k'), NULL, NULL)`)
	for _, workspace := range []string{"", "w"} {
		keys, err := admin.ListKeys(testenv.Guarded(t), dsn, admin.KeyFilter{Workspace: workspace})
		if err != nil || len(keys) != 1 || keys[0].Name != "" {
			t.Errorf("%+v, %v", keys, err)
		}
	}
}
