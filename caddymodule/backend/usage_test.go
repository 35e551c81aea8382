package backend

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/ratelimit"
)

// newUsage returns a usage of the database that holds up to two keys.
func newUsage(t *testing.T, dsn string) (*usage, *testenv.Log) {
	t.Helper()
	store, err := keys.NewStore(postgres.Options{DSN: dsn})
	testenv.NoError(t, err)
	t.Cleanup(store.Close)
	log := new(testenv.Log)
	return &usage{store: store, logger: log.Logger(), max: 2}, log
}

// lastUsed returns the keys that were used within two minutes, in the order of their IDs.
func lastUsed(db testenv.DB) string {
	return db.Text(`SELECT coalesce(string_agg(key_id, ' ' ORDER BY key_id), '') FROM hoko.key_usage
		WHERE last_used_at = date_trunc('minute', last_used_at)
		AND last_used_at BETWEEN now() - interval '2 minutes' AND now()`)
}

// The last use is written when the backend closes.
func TestUsage_OfAClosedBackend(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	hash := sha256.Sum256([]byte("a_key"))
	db.Exec(`INSERT INTO hoko.workspaces (id) VALUES ('w1')`)
	db.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash) VALUES ('k1', 'w1', $1)`, hash[:])
	l, err := NewLease(Settings{
		Postgres: postgres.Options{DSN: dsn}, Limits: ratelimit.Options{URL: "redis://127.0.0.1:1"},
	}, slog.DiscardHandler)
	testenv.NoError(t, err)
	header := http.Header{"Authorization": {"a_key"}}
	for range 2 {
		_, _, err = l.Use().Keys.Authenticate(testenv.Guarded(t), header, "192.0.2.1", apikey.Required{})
		testenv.NoError(t, err)
	}
	if used := lastUsed(db); used != "" {
		t.Errorf("%s before the interval has passed", used)
	}
	l.Release(0)
	DropExpiring()
	if used := lastUsed(db); used != "k1" {
		t.Errorf("used: %q", used)
	}
}

func TestUsage_WritesUntilStopped(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	u, log := newUsage(t, dsn)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() { u.run(ctx, time.Millisecond); close(stopped) }()
	for _, want := range []string{"k1", "k1 k2"} {
		u.Add(want[len(want)-2:])
		testenv.Until(t, "the use is written", func() bool { return lastUsed(db) == want })
	}
	cancel()
	<-stopped
	if log.String() != "" || len(u.pending) > 0 {
		t.Errorf("%v is pending; logged %s", u.pending, log)
	}
}

// Every failure is logged once. What could not be written is kept, up to the maximum, and the next
// write catches up.
func TestUsage_Failures(t *testing.T) {
	server := testenv.Postgres(t)
	dsn, ctx := server.DSN("postgres"), testenv.Guarded(t)
	testenv.NoError(t, postgres.Migrate(ctx, dsn, nil))
	db := testenv.Connect(t, dsn)
	locker := testenv.Connect(t, dsn)
	db.Exec("CREATE ROLE narrow; GRANT USAGE ON SCHEMA hoko TO narrow; GRANT ALL ON hoko.key_usage TO narrow")
	u, log := newUsage(t, dsn+"&role=narrow")
	failures := 0
	fail := func(text string, fail, restore func()) {
		t.Helper()
		db.Exec("DELETE FROM hoko.key_usage")
		failures++
		fail()
		for i := range 4 {
			u.Add(fmt.Sprint("k", i))
			u.write(ctx)
		}
		if len(u.pending) != 2 {
			t.Errorf("%s: %v is pending, want 2 keys", text, u.pending)
		}
		restore()
		u.write(ctx)
		if used := lastUsed(db); used != "k0 k1" || len(u.pending) > 0 {
			t.Errorf("%s: %s were used, %v is pending", text, used, u.pending)
		}
		if log.Count("level=WARN") != failures || !log.HasLine("cannot be recorded", text) {
			t.Errorf("%s: logged %s", text, log)
		}
	}
	fail("lock timeout", func() { locker.Exec("BEGIN; LOCK TABLE hoko.key_usage") }, func() { locker.Exec("COMMIT") })
	fail("hoko.key_usage does not exist", func() { db.Exec("ALTER TABLE hoko.key_usage RENAME TO moved") },
		func() { db.Exec("ALTER TABLE hoko.moved RENAME TO key_usage") })
	fail("role may not write it", func() { db.Exec("REVOKE INSERT ON hoko.key_usage FROM narrow") },
		func() { db.Exec("GRANT INSERT ON hoko.key_usage TO narrow") })
	fail("connect", server.Stop, func() {
		server.Start(t)
		db = testenv.Connect(t, dsn)
	})

	u.Add("k1")
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	u.write(canceled)
	if log.Count("level=WARN") != failures || len(u.pending) != 1 {
		t.Errorf("%v is pending; logged %s", u.pending, log)
	}
}

// A newer use that was added meanwhile is not replaced by one that could not be written.
func TestUsage_KeepsTheLatest(t *testing.T) {
	u := usage{max: 1}
	for _, minute := range []int64{5, 7, 6} {
		u.put(keys.Use{KeyID: "k1", Minute: minute})
		u.put(keys.Use{KeyID: "k2", Minute: minute})
	}
	if uses := u.take(); len(uses) != 1 || uses[0] != (keys.Use{KeyID: "k1", Minute: 7}) || len(u.take()) > 0 {
		t.Errorf("took %v", uses)
	}
}
