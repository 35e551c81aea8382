package admin_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"reflect"
	"runtime"
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

// imported returns a line that is right.
func imported(line int, key string) admin.ImportedKey {
	return admin.ImportedKey{Line: line, Hash: sha256.Sum256([]byte(key)),
		NewKey: admin.NewKey{Workspace: "w1", Scopes: scopes}}
}

func importDatabase(t *testing.T) (string, testenv.DB) {
	t.Helper()
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	d.Exec(`INSERT INTO hoko.workspaces (id, name) VALUES
		('w1', 'one'), ('w2', 'two'), ('w3', 'twins'), ('w4', 'twins')`)
	return dsn, d
}

func TestImportKeys_AreStoredAndRecorded(t *testing.T) {
	dsn, d := importDatabase(t)
	minimal, full := imported(2, "a"), imported(3, "b")
	full.NewKey = admin.NewKey{Workspace: "two", Name: "Zoë's", Scopes: []string{"linksRead", "tagsRead"},
		Hostnames: []string{"example.com", "*.example.org"},
		ExpiresAt: time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond),
		Limit:     limit.Limit{Rate: 5, Period: time.Hour, Burst: 7}}
	full.Start = "legacy"
	testenv.NoError(t, admin.ImportKeys(testenv.Guarded(t), dsn, []admin.ImportedKey{minimal, full}, true))
	if n := d.Count(`SELECT (SELECT count(*) FROM hoko.api_keys) + (SELECT count(*) FROM hoko.audit)`); n != 0 {
		t.Errorf("a dry run left %d rows", n)
	}
	testenv.NoError(t, admin.ImportKeys(testenv.Guarded(t), dsn, []admin.ImportedKey{minimal, full}, false))
	store := pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	for key, want := range map[string]apikey.Key{
		"a": {WorkspaceID: "w1", Scopes: apikey.ScopesOf(scopes)},
		"b": {WorkspaceID: "w2", Scopes: apikey.ScopesOf(full.Scopes), AllowedHostnames: full.Hostnames,
			Limit: full.Limit, ExpiresAt: full.ExpiresAt},
	} {
		got, err := store.Key(testenv.Guarded(t), sha256.Sum256([]byte(key)))
		testenv.NoError(t, err)
		want.ID, want.Hash = got.ID, got.Hash
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("got  %+v\nwant %+v", *got, want)
		}
		if n := d.Count(`SELECT count(*) FROM hoko.audit WHERE command = 'keys import' AND key_id = $1
			AND workspace_id = $2`, got.ID, got.WorkspaceID); n != 1 {
			t.Errorf("%d records of %s", n, key)
		}
	}
	if key := findKey(t, dsn, "legacy"); key.Name != "Zoë's" {
		t.Errorf("%+v", key)
	}
	record := d.Text(`SELECT details::text FROM hoko.audit WHERE workspace_id = 'w2'`)
	if record != `{"start": "legacy", "scopes": ["linksRead", "tagsRead"]}` {
		t.Errorf("recorded %s", record)
	}
}

func TestImportKeys_NamesWrongLines(t *testing.T) {
	dsn, d := importDatabase(t)
	existing := createKey(t, dsn, admin.NewKey{Workspace: "w1", Scopes: scopes})
	for name, c := range map[string]struct {
		change func(*admin.ImportedKey)
		want   string
	}{
		"unreadable":   {func(k *admin.ImportedKey) { k.Err = fmt.Errorf(`not %q`, "s3cret\" x") }, "not …"},
		"repeated":     {func(k *admin.ImportedKey) { *k = imported(7, "first") }, "the same key as line 2"},
		"existing":     {func(k *admin.ImportedKey) { k.Hash = sha256.Sum256([]byte(existing.Key)) }, existing.ID},
		"workspace":    {func(k *admin.ImportedKey) { k.Workspace = "s3cret" }, "no such workspace …: there are w1"},
		"ambiguous":    {func(k *admin.ImportedKey) { k.Workspace = "twins" }, "several workspaces have"},
		"no workspace": {func(k *admin.ImportedKey) { k.Workspace = "" }, "belongs to a workspace"},
		"NUL":          {func(k *admin.ImportedKey) { k.Workspace = "\x00" }, "UTF-8 without NUL"},
		"scope":        {func(k *admin.ImportedKey) { k.Scopes = []string{"s3cret"} }, "unknown scope …"},
		"no scope":     {func(k *admin.ImportedKey) { k.Scopes = nil }, "without scopes"},
		"hostname":     {func(k *admin.ImportedKey) { k.Hostnames = []string{"s3cret/"} }, "hostname … must"},
		"quota": {func(k *admin.ImportedKey) {
			k.Limit = limit.Limit{Rate: 5, Burst: 5, Calendar: limit.Day}
		}, "cannot hold a quota per day"},
		"limit": {func(k *admin.ImportedKey) { k.Limit.Rate = 2e9 }, "rate must be"},
		"past":  {func(k *admin.ImportedKey) { k.ExpiresAt = time.Now().Add(-time.Hour) }, "in the past"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := imported(7, "second")
			c.change(&wrong)
			keys := []admin.ImportedKey{imported(2, "first"), wrong, imported(8, "third")}
			err := admin.ImportKeys(testenv.Guarded(t), dsn, keys, false)
			pgtest.WantError(t, err, c.want)
			if err != nil && (!strings.Contains(err.Error(), "\n  line 7: ") || strings.Count(err.Error(), "\n") != 1 ||
				strings.Contains(err.Error(), "s3cret")) {
				t.Error(err)
			}
		})
	}
	if n := d.Count(`SELECT count(*) FROM hoko.api_keys`); n != 1 {
		t.Errorf("%d keys, want the existing one", n)
	}
}

func TestImportKeys_ReportsTwentyLines(t *testing.T) {
	dsn, _ := importDatabase(t)
	for name, change := range map[string]func(*admin.ImportedKey){
		"settings":   func(k *admin.ImportedKey) { k.Scopes = nil },
		"workspaces": func(k *admin.ImportedKey) { k.Workspace = fmt.Sprint(k.Line) },
	} {
		t.Run(name, func(t *testing.T) {
			var keys []admin.ImportedKey
			for line := 2; line < 100; line++ {
				key := imported(line, fmt.Sprint(line))
				change(&key)
				keys = append(keys, key)
			}
			err := admin.ImportKeys(testenv.Guarded(t), dsn, keys, false)
			pgtest.WantError(t, err, "line 21: ")
			pgtest.WantError(t, err, "and more lines")
			if strings.Contains(err.Error(), "line 22") {
				t.Error(err)
			}
		})
	}
}

// The first statements have stored keys when a later one fails.
func TestImportKeys_AllOrNone(t *testing.T) {
	dsn, d := importDatabase(t)
	d.Exec(`ALTER TABLE hoko.api_keys ADD CHECK (name <> 'last')`)
	keys := manyKeys(12_000)
	keys[len(keys)-1].Name = "last"
	err := admin.ImportKeys(testenv.Guarded(t), dsn, keys, false)
	pgtest.WantError(t, err, "store keys")
	if n := d.Count(`SELECT (SELECT count(*) FROM hoko.api_keys) + (SELECT count(*) FROM hoko.audit)`); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// A session that stores the same key first makes the import wait, and then fail.
func TestImportKeys_StoredMeanwhile(t *testing.T) {
	dsn, d := importDatabase(t)
	d.Exec(`BEGIN; INSERT INTO hoko.api_keys (workspace_id, key_hash) VALUES ('w1', sha256('a'))`)
	result, ctx := make(chan error, 1), testenv.Guarded(t)
	go func() { result <- admin.ImportKeys(ctx, dsn, []admin.ImportedKey{imported(2, "a")}, false) }()
	awaitLock(t, ctx, testenv.Connect(t, dsn), 1)
	d.Exec(`COMMIT`)
	pgtest.WantError(t, <-result, "another session has stored one of them meanwhile")
}

// awaitLock returns when this many sessions wait for locks.
func awaitLock(t *testing.T, ctx context.Context, observer testenv.DB, sessions int) {
	t.Helper()
	for observer.Count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
		AND wait_event_type = 'Lock'`) < sessions {
		testenv.NoError(t, ctx.Err())
	}
}

func manyKeys(n int) []admin.ImportedKey {
	keys := make([]admin.ImportedKey, n)
	for i := range keys {
		keys[i] = imported(i+2, fmt.Sprint(i))
	}
	return keys
}

func TestImportKeys_AHundredThousand(t *testing.T) {
	dsn, d := importDatabase(t)
	keys := manyKeys(100_000)
	start := time.Now()
	testenv.NoError(t, admin.ImportKeys(testenv.Guarded(t), dsn, keys, false))
	took := time.Since(start)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("100,000 keys in %s; the process uses %d MB", took.Round(time.Millisecond), memory.Sys>>20)
	if n := d.Count(`SELECT count(*) FROM hoko.api_keys k JOIN hoko.audit a ON a.key_id = k.id`); n != len(keys) {
		t.Errorf("%d keys are stored and recorded", n)
	}
}
