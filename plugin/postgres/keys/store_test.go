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

// seedKey makes the only key of the testenv.DB, k1 of the workspace w1, with these columns.
func seedKey(db testenv.DB, columns, values string) apikey.Hash {
	db.T.Helper()
	hash := sha256.Sum256([]byte("a key"))
	db.Exec(`TRUNCATE hoko.workspaces, hoko.api_keys`)
	db.Exec(`INSERT INTO hoko.workspaces (id) VALUES ('w1')`)
	if columns != "" {
		columns, values = ", "+columns, ", "+values
	}
	db.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash`+columns+`) VALUES ('k1', 'w1', $1`+values+`)`, hash[:])
	return hash
}

func TestKey_AsStored(t *testing.T) {
	dsn := testenv.Database(t)
	db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	expires := time.Date(2031, 5, 6, 7, 8, 9, 123456000, time.UTC)
	conversions, _ := apikey.ParseScope("conversionsWrite")
	links, _ := apikey.ParseScope("linksRead")
	for _, c := range []struct {
		name, columns, values, also string
		want                        apikey.Key
	}{
		{name: "bare"},
		{name: "scopes", columns: "scopes", values: "'{conversionsWrite,linksRead}'", want: apikey.Key{Scopes: conversions | links}},
		{name: "unknown scopes grant nothing", columns: "scopes", values: "'{conversionswrite,NULL,admin,*,linksRead}'", want: apikey.Key{Scopes: links}},
		{name: "hostnames", columns: "allowed_hostnames", values: "'{example.com,*.example.com}'", want: apikey.Key{AllowedHostnames: []string{"example.com", "*.example.com"}}},
		{name: "a null hostname leaves the list a list", columns: "allowed_hostnames", values: "'{NULL}'", want: apikey.Key{AllowedHostnames: []string{""}}},
		{name: "expiring", columns: "expires_at", values: "'2031-05-06 07:08:09.123456Z'", want: apikey.Key{ExpiresAt: expires}},
		{name: "expiring never", columns: "expires_at", values: "'infinity'"},
		{name: "expired always", columns: "expires_at", values: "'-infinity'", want: apikey.Key{ExpiresAt: time.Unix(0, 0).UTC()}},
		{name: "expired at Go's zero time", columns: "expires_at", values: "'0001-01-01 00:00:00Z'", want: apikey.Key{ExpiresAt: time.Unix(0, 0).UTC()}},
		{name: "revoked", columns: "revoked_at", values: "now()", want: apikey.Key{Revoked: true}},
		{name: "of a disabled workspace", also: "UPDATE hoko.workspaces SET disabled_at = now()", want: apikey.Key{WorkspaceDisabled: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			hash := seedKey(db, c.columns, c.values)
			if c.also != "" {
				db.Exec(c.also)
			}
			got, err := store.Key(testenv.Guarded(t), hash)
			if err != nil {
				t.Fatal(err)
			}
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
	db.Exec(`DROP TABLE hoko.api_keys; DROP TABLE hoko.workspaces;
		CREATE TYPE scope AS ENUM ('linksRead', 'conversionsWrite');
		CREATE TABLE team (uid uuid PRIMARY KEY, quota bigint);
		CREATE TABLE token (uid uuid PRIMARY KEY, team uuid, sha256 bytea UNIQUE, scopes scope[], until timestamp);
		CREATE VIEW hoko.workspaces AS
			SELECT uid AS id, quota AS rate_limit, NULL::interval AS rate_period, NULL::bigint AS rate_burst, NULL::timestamptz AS disabled_at FROM team;
		CREATE VIEW hoko.api_keys AS
			SELECT uid AS id, team AS workspace_id, sha256 AS key_hash, scopes, NULL::text[] AS allowed_hostnames,
				NULL::smallint AS rate_limit, NULL::interval AS rate_period, NULL::smallint AS rate_burst, until AS expires_at, NULL::timestamp AS revoked_at FROM token;
		INSERT INTO team VALUES ('01890a5d-ac96-774b-bcce-b302099a8057', 50)`)
	db.Exec(`INSERT INTO token VALUES ('01890a5d-ac96-774b-bcce-b302099a8058', '01890a5d-ac96-774b-bcce-b302099a8057', $1, '{linksRead}', '2031-05-06 07:08:09')`, hash[:])

	links, _ := apikey.ParseScope("linksRead")
	want := apikey.Key{
		ID: "01890a5d-ac96-774b-bcce-b302099a8058", WorkspaceID: "01890a5d-ac96-774b-bcce-b302099a8057", Hash: hash, Scopes: links,
		Limit: limit.Limit{Rate: 50, Period: time.Minute, Burst: 50}, ExpiresAt: time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC),
	}
	store := pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	for range 2 {
		got, err := store.Key(testenv.Guarded(t), hash)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("got  %+v\nwant %+v", *got, want)
		}
		// The prepared statement is unusable then, and the second lookup does without.
		db.Exec(`DROP VIEW hoko.workspaces; CREATE VIEW hoko.workspaces AS
			SELECT uid AS id, quota::int AS rate_limit, NULL::interval AS rate_period, NULL::int AS rate_burst, NULL::timestamptz AS disabled_at FROM team`)
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
				t.Errorf("names no remedy: %v", err)
			}
		})
	}
}

func TestKey_UnreachableDatabaseIsAnError(t *testing.T) {
	const dsn = "postgres://somebody:s3cret@127.0.0.1:1/db"
	store := pgtest.OpenKeys(t, postgres.Options{DSN: dsn}) // connects to nothing, or it would fail here
	_, err := store.Key(testenv.Guarded(t), apikey.Hash{1})
	if err == nil || errors.Is(err, apikey.ErrNotFound) || errors.Is(err, postgres.ErrSchema) {
		t.Error(err)
	}
	if err != nil && strings.Contains(err.Error(), "s3cret") {
		t.Errorf("tells the password: %v", err)
	}
}

func TestLookup_SurvivesRestartedServer(t *testing.T) {
	dsn := testenv.Database(t)
	db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn + "&application_name=store"})
	hash := seedKey(db, "", "")
	inParallel(t, 8, func() error { _, err := store.Key(testenv.Guarded(t), hash); return err })
	for range 3 {
		db.Exec(`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'store' AND datname = current_database()`)
		if _, err := store.Key(testenv.Guarded(t), hash); err != nil {
			t.Fatal(err)
		}
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
		store := pgtest.OpenKeys(t, postgres.Options{DSN: dsn + "&application_name=store", MaxConns: c.maxConns, Writers: c.writers})
		useAll(t, db, store, hash, c.want)
		if n := testenv.Value[int](db, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'store' AND datname = current_database()`); n != c.want {
			t.Errorf("max_conns %d, writers %d: %d connections, want %d", c.maxConns, c.writers, n, c.want)
		}
	}
}

// useAll has all connections that the store may have look the key up at the same time.
func useAll(t *testing.T, db testenv.DB, store *keys.Store, hash apikey.Hash, conns int) {
	t.Helper()
	db.Exec(`BEGIN`)
	db.Exec(`LOCK TABLE hoko.api_keys IN ACCESS EXCLUSIVE MODE`)
	done := make(chan error, 1)
	go func() {
		done <- parallel(conns+2, func() error { _, err := store.Key(testenv.Guarded(t), hash); return err })
	}()
	testenv.Until(t, "its connections wait for the lock", func() bool {
		return testenv.Value[int](db, `SELECT count(*) FROM pg_locks WHERE relation = 'hoko.api_keys'::regclass AND NOT granted`) >= conns
	})
	if shown := testenv.Value[string](db, `SELECT min(query) FROM pg_stat_activity WHERE datname = current_database() AND pid IN (SELECT pid FROM pg_locks WHERE NOT granted)`); !strings.HasPrefix(shown, "SELECT asked.hash") {
		t.Errorf("Postgres shows what they do as %.100s", shown)
	}
	db.Exec(`COMMIT`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
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
	if _, err := store.Key(testenv.Guarded(t), hash); err != nil {
		t.Error(err)
	}
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
			if _, err := store.Key(testenv.Guarded(t), apikey.Hash{1}); err == nil || errors.Is(err, apikey.ErrNotFound) {
				t.Error(err)
			}
		})
	}
}

// inParallel fails the test where one of n calls fails.
func inParallel(t testing.TB, n int, do func() error) {
	t.Helper()
	if err := parallel(n, do); err != nil {
		t.Fatal(err)
	}
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
