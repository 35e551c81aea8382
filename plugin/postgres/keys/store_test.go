package keys_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/keys"
)

// sessions selects the sessions of the database whose application_name is $1.
const sessions = "FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()"

// seedKey replaces all keys with k1 of the workspace w1, which has the given columns.
func seedKey(db testenv.DB, columns, values string) apikey.Hash {
	db.T.Helper()
	hash := sha256.Sum256([]byte("a key"))
	db.Exec(`TRUNCATE hoko.workspaces, hoko.api_keys`)
	db.Exec(`INSERT INTO hoko.workspaces (id) VALUES ('w1')`)
	if columns != "" {
		columns, values = ", "+columns, ", "+values
	}
	db.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash`+columns+`)
		VALUES ('k1', 'w1', $1`+values+`)`, hash[:])
	return hash
}

func TestKey_AsStored(t *testing.T) {
	dsn := testenv.Database(t)
	db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	expires, epoch := time.Date(2031, 5, 6, 7, 8, 9, 123456000, time.UTC), time.Unix(0, 0).UTC()
	conversions, _ := apikey.ParseScope("conversionsWrite")
	links, _ := apikey.ParseScope("linksRead")
	for _, c := range []struct {
		name, column, value string
		want                apikey.Key
	}{
		{"bare", "", "", apikey.Key{}},
		{"scopes", "scopes", "'{conversionsWrite,linksRead}'", apikey.Key{Scopes: conversions | links}},
		{"unknown scopes", "scopes", "'{conversionswrite,NULL,admin,*,linksRead}'", apikey.Key{Scopes: links}},
		{"hostnames", "allowed_hostnames", "'{example.com,*.example.com}'",
			apikey.Key{AllowedHostnames: []string{"example.com", "*.example.com"}}},
		{"null hostname", "allowed_hostnames", "'{NULL}'", apikey.Key{AllowedHostnames: []string{""}}},
		{"expires", "expires_at", "'2031-05-06 07:08:09.123456Z'", apikey.Key{ExpiresAt: expires}},
		{"expires at infinity", "expires_at", "'infinity'", apikey.Key{}},
		{"expired at -infinity", "expires_at", "'-infinity'", apikey.Key{ExpiresAt: epoch}},
		{"expired at Go's zero time", "expires_at", "'0001-01-01 00:00:00Z'", apikey.Key{ExpiresAt: epoch}},
		{"revoked", "revoked_at", "now()", apikey.Key{Revoked: true}},
		{"disabled workspace", "", "", apikey.Key{WorkspaceDisabled: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			hash := seedKey(db, c.column, c.value)
			if c.want.WorkspaceDisabled {
				db.Exec("UPDATE hoko.workspaces SET disabled_at = now()")
			}
			got := mustKey(t, store, hash)
			c.want.ID, c.want.WorkspaceID, c.want.Hash = "k1", "w1", hash
			if !reflect.DeepEqual(*got, c.want) {
				t.Errorf("got  %+v\nwant %+v", *got, c.want)
			}
		})
	}
}

func TestKey_OverAdoptersViews(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	hash := sha256.Sum256([]byte("a key"))
	const team, token = "01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8058"
	db.Exec(`DROP TABLE hoko.api_keys; DROP TABLE hoko.workspaces;
		CREATE TYPE scope AS ENUM ('linksRead', 'conversionsWrite');
		CREATE TABLE team (uid uuid PRIMARY KEY, quota bigint);
		CREATE TABLE token (uid uuid PRIMARY KEY, team uuid, sha256 bytea UNIQUE, scopes scope[], until timestamp);
		CREATE VIEW hoko.workspaces AS SELECT uid AS id, quota AS rate_limit, NULL::interval AS rate_period,
			NULL::bigint AS rate_burst, NULL::timestamptz AS disabled_at FROM team;
		CREATE VIEW hoko.api_keys AS
			SELECT uid AS id, team AS workspace_id, sha256 AS key_hash, scopes, NULL::text[] AS allowed_hostnames,
				NULL::smallint AS rate_limit, NULL::interval AS rate_period, NULL::smallint AS rate_burst,
				until AS expires_at, NULL::timestamp AS revoked_at FROM token`)
	db.Exec(`INSERT INTO team VALUES ($1, 50)`, team)
	db.Exec(`INSERT INTO token VALUES ($1, $2, $3, '{linksRead}', '2031-05-06 07:08:09')`, token, team, hash[:])

	links, _ := apikey.ParseScope("linksRead")
	want := apikey.Key{
		ID: token, WorkspaceID: team, Hash: hash, Scopes: links, ExpiresAt: time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC),
		Limit: limit.Limit{Rate: 50, Period: time.Minute, Burst: 50},
	}
	store := pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	for range 2 {
		got := mustKey(t, store, hash)
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("got  %+v\nwant %+v", *got, want)
		}
		// This makes the prepared statement unusable for the second lookup.
		db.Exec(`DROP VIEW hoko.workspaces; CREATE VIEW hoko.workspaces AS SELECT uid AS id, quota::int AS rate_limit,
			NULL::interval AS rate_period, NULL::int AS rate_burst, NULL::timestamptz AS disabled_at FROM team`)
	}
}

func TestKey_NotFound(t *testing.T) {
	store := pgtest.OpenKeys(t, postgres.Options{DSN: testenv.Database(t)})
	if _, err := store.Key(testenv.Guarded(t), apikey.Hash{1}); !errors.Is(err, apikey.ErrNotFound) {
		t.Error(err)
	}
}

func TestKey_WithoutSchemaIsErrSchema(t *testing.T) {
	withoutColumn := testenv.Database(t)
	testenv.Connect(t, withoutColumn).Exec(`ALTER TABLE hoko.api_keys RENAME COLUMN allowed_hostnames TO hosts`)
	for name, dsn := range map[string]string{"no schema": testenv.EmptyDatabase(t), "no column": withoutColumn} {
		t.Run(name, func(t *testing.T) {
			_, err := pgtest.OpenKeys(t, postgres.Options{DSN: dsn}).Key(testenv.Guarded(t), apikey.Hash{1})
			if !errors.Is(err, postgres.ErrSchema) || errors.Is(err, apikey.ErrNotFound) {
				t.Error(err)
			}
			if err != nil && !strings.Contains(err.Error(), "caddy hoko migrate") {
				t.Errorf("does not name the fix: %v", err)
			}
		})
	}
}

func TestKey_UnreachableDatabaseIsAnError(t *testing.T) {
	const dsn = "postgres://hoko:s3cret@127.0.0.1:1/db"
	store := pgtest.OpenKeys(t, postgres.Options{DSN: dsn}) // must not connect yet
	err := wantFailure(t, store, apikey.Hash{1})
	if errors.Is(err, postgres.ErrSchema) || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}

func TestLookup_SurvivesRestartedServer(t *testing.T) {
	dsn := testenv.Database(t)
	db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn + "&application_name=store"})
	hash := seedKey(db, "", "")
	inParallel(t, 8, func() error { _, err := store.Key(testenv.Guarded(t), hash); return err })
	for range 3 {
		db.Exec(`SELECT pg_terminate_backend(pid, 10000) `+sessions, "store")
		mustKey(t, store, hash)
	}
}

func TestLookup_PoolerRefusesSettings(t *testing.T) {
	dsn := testenv.Database(t)
	hash := seedKey(testenv.Connect(t, dsn), "", "")
	pooler := pgtest.Tap(t, dsn)
	pooler.Refuses = func(parameters map[string]string) string {
		if parameters["enable_seqscan"] == "" {
			return ""
		}
		return "unsupported startup parameter: enable_seqscan"
	}
	store := pgtest.OpenKeys(t, postgres.Options{DSN: pooler.Working().DSN})
	inParallel(t, 8, func() error { _, err := store.Key(testenv.Guarded(t), hash); return err })
}

func TestStore_UsesKeyConns(t *testing.T) {
	for _, c := range []struct{ maxConns, writers, want int }{{0, 0, 8}, {9, 0, 2}, {8, 4, 1}, {16, 10, 3}} {
		dsn := testenv.Database(t)
		db := testenv.Connect(t, dsn)
		hash := seedKey(db, "", "")
		o := postgres.Options{DSN: dsn + "&application_name=store", MaxConns: c.maxConns, Writers: c.writers}
		store := pgtest.OpenKeys(t, o)
		useAll(t, db, store, hash, c.want)
		if n := db.Count(`SELECT count(*) `+sessions, "store"); n != c.want {
			t.Errorf("max_conns %d, writers %d: %d connections, want %d", c.maxConns, c.writers, n, c.want)
		}
		if stats := store.Stats(); stats.Open != c.want || stats.Max != c.want || stats.InUse != 0 || stats.Waits < 2 {
			t.Errorf("max_conns %d, writers %d: %+v", c.maxConns, c.writers, stats)
		}
	}
}

// useAll makes the store use all of its connections at the same time.
func useAll(t *testing.T, db testenv.DB, store *keys.Store, hash apikey.Hash, conns int) {
	t.Helper()
	db.Exec(`BEGIN`)
	db.Exec(`LOCK TABLE hoko.api_keys IN ACCESS EXCLUSIVE MODE`)
	done := make(chan error, 1)
	go func() {
		done <- parallel(conns+2, func() error { _, err := store.Key(testenv.Guarded(t), hash); return err })
	}()
	testenv.Until(t, "its connections wait for the lock", func() bool {
		const waiting = `SELECT count(*) FROM pg_locks WHERE relation = 'hoko.api_keys'::regclass AND NOT granted`
		return db.Count(waiting) >= conns
	})
	const query = `SELECT min(query) FROM pg_stat_activity WHERE datname = current_database()
		AND pid IN (SELECT pid FROM pg_locks WHERE NOT granted)`
	if shown := db.Text(query); !strings.HasPrefix(shown, "SELECT asked.hash") {
		t.Errorf("pg_stat_activity shows %.100s", shown)
	}
	db.Exec(`COMMIT`)
	testenv.NoError(t, <-done)
}

func TestLookup_LockedTableTimesOut(t *testing.T) {
	dsn := testenv.Database(t)
	db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	hash := seedKey(db, "", "")
	db.Exec(`BEGIN`)
	db.Exec(`LOCK TABLE hoko.api_keys IN ACCESS EXCLUSIVE MODE`)
	ctx, cancel := context.WithTimeout(testenv.Guarded(t), 100*time.Millisecond)
	defer cancel()
	if _, err := store.Key(ctx, hash); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	db.Exec(`COMMIT`)
	mustKey(t, store, hash)
}

func TestLookup_EndsWithItsContext(t *testing.T) {
	store := pgtest.OpenKeys(t, postgres.Options{DSN: testenv.Database(t)})
	ctx, cancel := context.WithCancel(testenv.Guarded(t))
	cancel()
	if _, err := store.Key(ctx, apikey.Hash{1}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestStore_FailsAfterClose(t *testing.T) {
	dsn := testenv.Database(t)
	for name, used := range map[string]bool{"used": true, "unused": false} {
		t.Run(name, func(t *testing.T) {
			store := pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
			if used {
				if _, err := store.Key(testenv.Guarded(t), apikey.Hash{1}); !errors.Is(err, apikey.ErrNotFound) {
					t.Fatal(err)
				}
			}
			store.Close()
			store.Close()
			wantFailure(t, store, apikey.Hash{1})
		})
	}
}

// mustKey looks up a key, and ends the test if that fails.
func mustKey(t *testing.T, store *keys.Store, hash apikey.Hash) *apikey.Key {
	t.Helper()
	key, err := store.Key(testenv.Guarded(t), hash)
	testenv.NoError(t, err)
	return key
}

// wantFailure returns the error of a lookup, which must not be ErrNotFound.
func wantFailure(t *testing.T, store *keys.Store, hash apikey.Hash) error {
	t.Helper()
	_, err := store.Key(testenv.Guarded(t), hash)
	if err == nil || errors.Is(err, apikey.ErrNotFound) {
		t.Fatal(err)
	}
	return err
}

// inParallel fails the test if one of n concurrent calls fails.
func inParallel(t testing.TB, n int, do func() error) {
	t.Helper()
	testenv.NoError(t, parallel(n, do))
}

func parallel(n int, do func() error) error {
	failures := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { failures[i] = do() })
	}
	all.Wait()
	return errors.Join(failures...)
}
