package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
)

// hold keeps lookups of keys from ending. Once it has begun, and every edge waits
// for a lookup, no edge can have an answer before release.
type hold struct {
	begin           func(t *testing.T)
	revokeAndHearOf func(t *testing.T, f *fleet, key string)
	release         func(t *testing.T)
}

// A lookup that is under way when its key is revoked may have read what was true
// before. Whatever it brings, nobody is admitted with it.
func TestRevocationOvertakesLookupsInFlight(t *testing.T) {
	f := startFleet(t, testenv.Redis(t))
	f.untilListening(t, true)
	c := f.gather(t, f.newKey(unlimited))
	for _, held := range []struct {
		name string
		hold hold
	}{
		{"that wait for the table", f.holdTable(t)},
		{"that have read the key", f.holdAnswer(t)},
	} {
		t.Run(held.name, func(t *testing.T) {
			t.Run("of a key that was cached", func(t *testing.T) {
				key := f.newKey(unlimited)
				c.use(key)
				c.untilEach(t, "the new key is admitted", 1, call.admitted)
				held.hold.begin(t)
				f.db.exec("SELECT pg_notify('hoko_keys', 'key:' || $1)", apikey.HashOf(key).String()) // so that all look it up again
				f.untilHeld(t)
				now := time.Now()
				f.revokeHeld(t, c, held.hold, key, now)
			})
			t.Run("of a key that was not", func(t *testing.T) {
				key := f.newKey(unlimited)
				held.hold.begin(t)
				c.use(key)
				f.untilHeld(t)
				f.revokeHeld(t, c, held.hold, key, time.Time{})
			})
		})
	}
	c.stop(t)
}

// untilHeld waits until every edge looks a key up.
func (f *fleet) untilHeld(t *testing.T) {
	t.Helper()
	const waiting = "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE datname = current_database() AND wait_event IN ('relation', 'advisory') AND application_name LIKE 'edge-%'"
	poll(t, "every edge looks the key up", func() bool { return f.db.count(waiting) == len(f.edges) })
}

// revokeHeld revokes a key that every edge looks up at this moment: no call that
// was sent since is admitted. A lookup gives up after three seconds, so on a slow
// machine some calls are answered 503.
func (f *fleet) revokeHeld(t *testing.T, c *crowd, h hold, key string, since time.Time) {
	t.Helper()
	h.revokeAndHearOf(t, f, key)
	h.release(t)
	c.untilEach(t, "the key is refused", 3, func(last call) bool { return last.status == 401 })
	for _, one := range c.all() {
		if one.sent.After(since) && one.status != 401 && one.status != 503 {
			t.Errorf("while the key was looked up a call was sent: %v", one)
		}
	}
}

// holdTable locks the table of keys, so that a lookup has read nothing when it is revoked.
func (f *fleet) holdTable(t *testing.T) hold {
	lock := f.connect(t)
	return hold{
		begin: func(t *testing.T) { lock.exec("BEGIN; LOCK TABLE hoko.api_keys IN ACCESS EXCLUSIVE MODE") },
		revokeAndHearOf: func(_ *testing.T, _ *fleet, key string) {
			lock.exec("UPDATE hoko.api_keys SET revoked_at = now() WHERE id = $1", keyID(key))
		},
		release: func(t *testing.T) { lock.exec("COMMIT") }, // of which the edges hear now
	}
}

// holdAnswer has a lookup wait after it has read the key, and before it returns
// it; and it lets another key pass, on which the edges show what they have heard.
func (f *fleet) holdAnswer(t *testing.T) hold {
	f.db.exec(`
CREATE FUNCTION hoko.hold(workspace text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF workspace = 'ws_1' THEN
    PERFORM pg_advisory_lock_shared(1);
    PERFORM pg_advisory_unlock_shared(1);
  END IF;
  RETURN true;
END $$;
ALTER TABLE hoko.workspaces RENAME TO workspaces_held;
CREATE VIEW hoko.workspaces AS SELECT * FROM hoko.workspaces_held WHERE hoko.hold(id)`)
	lock := f.connect(t)
	var canary string
	return hold{
		begin: func(t *testing.T) {
			canary = f.newKey(unlimited)
			f.db.exec("UPDATE hoko.api_keys SET workspace_id = 'ws_2' WHERE id = $1", keyID(canary))
			for i := range f.edges {
				wantAnswer(t, f.look(t, i, canary), 200, "")
			}
			lock.exec("SELECT pg_advisory_lock(1)")
		},
		revokeAndHearOf: func(t *testing.T, f *fleet, key string) {
			const revoke = "UPDATE hoko.api_keys SET revoked_at = now() WHERE id = '%s';"
			f.db.exec(fmt.Sprintf("BEGIN;"+revoke+revoke+"COMMIT", keyID(key), keyID(canary)))
			for i := range f.edges {
				poll(t, "the edge has heard of it", func() bool { return f.look(t, i, canary).StatusCode == 401 })
			}
		},
		release: func(t *testing.T) { lock.exec("SELECT pg_advisory_unlock(1)") },
	}
}

// connect is one more connection to the fleet's database.
func (f *fleet) connect(t *testing.T) db {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), f.db.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return db{conn, t}
}
