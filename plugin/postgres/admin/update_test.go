package admin_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

// keyWithAll creates a key that has every setting, in a new workspace.
func keyWithAll(t *testing.T, dsn string) admin.CreatedKey {
	t.Helper()
	return createKey(t, dsn, admin.NewKey{Workspace: "Acme", CreateWorkspace: true, Name: "billing", Scopes: scopes,
		Hostnames: []string{"example.com"}, Limit: limit.Limit{Rate: 600, Period: time.Minute, Burst: 1200},
		ExpiresAt: time.Now().Add(time.Hour).Truncate(time.Microsecond)})
}

func findKey(t *testing.T, dsn, which string) admin.KeyInfo {
	t.Helper()
	key, err := admin.FindKey(testenv.Guarded(t), dsn, which)
	testenv.NoError(t, err)
	return key
}

// audited returns the details of the only record of a command, which must be about the key.
func audited(t *testing.T, d testenv.DB, command string, key admin.CreatedKey) string {
	t.Helper()
	const query = `SELECT count(*) FROM hoko.audit WHERE command = $1 AND key_id = $2 AND workspace_id = $3
		AND database_user = session_user AND os_user LIKE '%@%' AND at <= now()`
	if n := d.Count(query, command, key.ID, key.WorkspaceID); n != 1 {
		t.Fatalf("%d records of %s, want 1", n, command)
	}
	return d.Text(`SELECT details::text FROM hoko.audit WHERE command = $1`, command)
}

func TestUpdateKey_ChangesOnlyWhatIsGiven(t *testing.T) {
	name, none, hosts, all := "sales", limit.Limit{}, []string{"*.example.org"}, []string{}
	hour, expires, never := limit.Limit{Rate: 5, Period: time.Hour, Burst: 5},
		time.Date(2090, 1, 2, 3, 4, 5, 0, time.UTC), time.Time{}
	for title, c := range map[string]struct {
		change admin.KeyChange
		want   func(*admin.KeyInfo)
		record string
	}{
		"name": {admin.KeyChange{Name: &name}, func(k *admin.KeyInfo) { k.Name = name },
			`{"name": {"to": "sales", "from": "billing"}}`},
		"scopes": {admin.KeyChange{Scopes: []string{"linksRead", "tagsRead"}},
			func(k *admin.KeyInfo) { k.Scopes = []string{"linksRead", "tagsRead"} },
			`{"scopes": {"to": ["linksRead", "tagsRead"], "from": ["conversionsWrite"]}}`},
		"hostnames": {admin.KeyChange{Hostnames: &hosts}, func(k *admin.KeyInfo) { k.Hostnames = hosts },
			`{"hostnames": {"to": ["*.example.org"], "from": ["example.com"]}}`},
		"any hostname": {admin.KeyChange{Hostnames: &all}, func(k *admin.KeyInfo) { k.Hostnames = nil },
			`{"hostnames": {"to": [], "from": ["example.com"]}}`},
		"limit": {admin.KeyChange{Limit: &hour}, func(k *admin.KeyInfo) { k.Limit = hour },
			`{"limit": {"to": "5/1h", "from": "600/1m burst 1200"}}`},
		"burst": {admin.KeyChange{Burst: 7}, func(k *admin.KeyInfo) { k.Limit.Burst = 7 },
			`{"limit": {"to": "600/1m burst 7", "from": "600/1m burst 1200"}}`},
		"no limit": {admin.KeyChange{Limit: &none}, func(k *admin.KeyInfo) { k.Limit = none },
			`{"limit": {"to": "", "from": "600/1m burst 1200"}}`},
		"expiry": {admin.KeyChange{ExpiresAt: &expires}, func(k *admin.KeyInfo) { k.ExpiresAt = expires }, ""},
		"never":  {admin.KeyChange{ExpiresAt: &never}, func(k *admin.KeyInfo) { k.ExpiresAt = never }, ""},
	} {
		t.Run(title, func(t *testing.T) {
			dsn := testenv.Database(t)
			created := keyWithAll(t, dsn)
			want := findKey(t, dsn, created.ID)
			c.want(&want)
			got, err := admin.UpdateKey(testenv.Guarded(t), dsn, created.Key, c.change)
			if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(findKey(t, dsn, created.ID), want) {
				t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
			}
			d := testenv.Connect(t, dsn)
			if record := audited(t, d, "keys update", created); c.record != "" && record != c.record {
				t.Errorf("recorded %s, want %s", record, c.record)
			}
			if _, err := admin.UpdateKey(testenv.Guarded(t), dsn, created.Key, c.change); err != nil {
				t.Error(err)
			}
			wantRecords := 3         // of the workspace, the key and the change
			if title == "no limit" { // which may be an invalid one
				wantRecords++
			}
			if n := d.Count(`SELECT count(*) FROM hoko.audit`); n != wantRecords {
				t.Errorf("%d records after the same change again, want %d", n, wantRecords)
			}
		})
	}
}

func TestUpdateKey_InvalidChangesNothing(t *testing.T) {
	dsn := testenv.Database(t)
	created := keyWithAll(t, dsn)
	bare := createKey(t, dsn, admin.NewKey{Workspace: "Acme", Scopes: scopes})
	name, past, bad, absurd := "a\x00", time.Now().Add(-time.Hour), []string{"*"}, limit.Limit{Rate: 2e9, Period: 1}
	before := findKey(t, dsn, created.ID)
	for title, c := range map[string]struct {
		which  string
		change admin.KeyChange
		want   string
	}{
		"nothing":        {created.ID, admin.KeyChange{}, "nothing to change"},
		"no scope":       {created.ID, admin.KeyChange{Scopes: []string{}}, "without scopes"},
		"unknown scope":  {created.ID, admin.KeyChange{Scopes: []string{"all"}}, `unknown scope "all"`},
		"any host":       {created.ID, admin.KeyChange{Hostnames: &bad}, "hostname"},
		"past":           {created.ID, admin.KeyChange{ExpiresAt: &past}, "in the past"},
		"limit":          {created.ID, admin.KeyChange{Limit: &absurd}, "rate must be"},
		"burst":          {created.ID, admin.KeyChange{Burst: -1}, "burst must be"},
		"burst of none":  {bare.ID, admin.KeyChange{Burst: 5}, "a burst needs a limit"},
		"name":           {created.ID, admin.KeyChange{Name: &name}, "UTF-8"},
		"unknown key":    {"unknown", admin.KeyChange{Burst: 5}, "no such key"},
		"first is right": {created.ID, admin.KeyChange{Name: new(string), Burst: 2e9}, "burst must be"},
	} {
		t.Run(title, func(t *testing.T) {
			_, err := admin.UpdateKey(testenv.Guarded(t), dsn, c.which, c.change)
			pgtest.WantError(t, err, c.want)
		})
	}
	if after := findKey(t, dsn, created.ID); !reflect.DeepEqual(after, before) {
		t.Errorf("it changed to %+v", after)
	}
	if n := testenv.Connect(t, dsn).Count(`SELECT count(*) FROM hoko.audit WHERE command = 'keys update'`); n != 0 {
		t.Errorf("%d records, want none", n)
	}
}

// Edges ignore an invalid limit, which looks like none.
func TestUpdateKey_RemovesInvalidLimit(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	created := keyWithAll(t, dsn)
	d.Exec(`UPDATE hoko.api_keys SET rate_limit = 0`)
	_, err := admin.UpdateKey(testenv.Guarded(t), dsn, created.ID, admin.KeyChange{Limit: new(limit.Limit)})
	if n := d.Count(`SELECT count(rate_limit) FROM hoko.api_keys`); err != nil || n != 0 {
		t.Errorf("%d limits, %v", n, err)
	}
}

func TestUnrevokeKey_RestoresOnlyRevoked(t *testing.T) {
	dsn := testenv.Database(t)
	created := keyWithAll(t, dsn)
	before := findKey(t, dsn, created.ID)
	_, err := admin.UnrevokeKey(testenv.Guarded(t), dsn, created.ID)
	pgtest.WantError(t, err, "is not revoked")
	revoked, err := admin.RevokeKey(testenv.Guarded(t), dsn, created.ID)
	testenv.NoError(t, err)
	got, err := admin.UnrevokeKey(testenv.Guarded(t), dsn, created.Key)
	if err != nil || !reflect.DeepEqual(got, before) || !reflect.DeepEqual(findKey(t, dsn, created.ID), before) {
		t.Errorf("%+v, %v", got, err)
	}
	record := audited(t, testenv.Connect(t, dsn), "keys unrevoke", created)
	if !strings.Contains(record, revoked.RevokedAt.Format("2006-01-02T15:04:05")) {
		t.Errorf("recorded %s", record)
	}
}
