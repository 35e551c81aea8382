package revocation

import (
	"fmt"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
)

// hold blocks key lookups. After begin, a lookup returns only after release.
type hold struct {
	begin            func(t *testing.T)
	revokeAndDeliver func(t *testing.T, f *harness.Fleet, key string)
	release          func(t *testing.T)
}

// A lookup in flight may have read the key before its revocation. It must admit no call.
func TestRevocation_OvertakesLookupsInFlight(t *testing.T) {
	f := harness.StartFleet(t, testenv.Redis(t))
	f.UntilListening(t, true)
	c := f.StartCrowd(t, f.NewKey(harness.Unlimited))
	for _, held := range []struct {
		name string
		hold hold
	}{
		{"that wait for the table", holdTable(t, f)},
		{"that have read the key", holdAnswer(t, f)},
	} {
		t.Run(held.name, func(t *testing.T) {
			t.Run("of a cached key", func(t *testing.T) {
				key := f.NewKey(harness.Unlimited)
				c.SwitchKey(key)
				c.UntilEach(t, "the new key is admitted", 1, harness.Call.Admitted)
				held.hold.begin(t)
				f.DB.Exec("SELECT pg_notify('hoko_keys', 'key:' || $1)", apikey.HashOf(key).String())
				untilHeld(t, f) // new lookups, because of the notification
				now := time.Now()
				revokeHeld(t, f, c, held.hold, key, now)
			})
			t.Run("of an uncached key", func(t *testing.T) {
				key := f.NewKey(harness.Unlimited)
				held.hold.begin(t)
				c.SwitchKey(key)
				untilHeld(t, f)
				revokeHeld(t, f, c, held.hold, key, time.Time{})
			})
		})
	}
	c.StopAndVerify(t)
}

// untilHeld waits until every edge is blocked in a lookup.
func untilHeld(t *testing.T, f *harness.Fleet) {
	t.Helper()
	const waiting = `SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE datname = current_database()
		AND wait_event IN ('relation', 'advisory') AND application_name LIKE 'edge-%'`
	testenv.Until(t, "every edge looks up the key", func() bool { return f.DB.Count(waiting) == len(f.Edges) })
}

// revokeHeld revokes a key that every edge is looking up, and checks that no call sent after since
// is admitted. A lookup gives up after three seconds, so on a slow machine some calls get 503.
func revokeHeld(t *testing.T, f *harness.Fleet, c *harness.Crowd, h hold, key string, since time.Time) {
	t.Helper()
	h.revokeAndDeliver(t, f, key)
	h.release(t)
	c.UntilEach(t, "the key is rejected", 3, func(last harness.Call) bool { return last.Status == 401 })
	for _, one := range c.All() {
		if one.Sent.After(since) && one.Status != 401 && one.Status != 503 {
			t.Errorf("a call that was sent during the lookup: %v", one)
		}
	}
}

// holdTable locks the table of keys, so that a blocked lookup has read nothing.
func holdTable(t *testing.T, f *harness.Fleet) hold {
	lock := harness.Connect(t, f.DSN)
	return hold{
		begin: func(t *testing.T) { lock.Exec("BEGIN; LOCK TABLE hoko.api_keys IN ACCESS EXCLUSIVE MODE") },
		revokeAndDeliver: func(_ *testing.T, _ *harness.Fleet, key string) {
			lock.Exec("UPDATE hoko.api_keys SET revoked_at = now() WHERE id = $1", harness.KeyID(key))
		},
		release: func(t *testing.T) { lock.Exec("COMMIT") }, // which also notifies the edges
	}
}

// holdAnswer blocks a lookup between reading the key and returning it. Another workspace's key is
// not blocked; it shows when the edges have received the notification.
func holdAnswer(t *testing.T, f *harness.Fleet) hold {
	f.DB.Exec(`
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
	lock := harness.Connect(t, f.DSN)
	var canary string
	return hold{
		begin: func(t *testing.T) {
			canary = f.NewKey(harness.Unlimited)
			f.DB.Exec("UPDATE hoko.api_keys SET workspace_id = 'ws_2' WHERE id = $1", harness.KeyID(canary))
			for i := range f.Edges {
				harness.WantAnswer(t, f.GetLinks(t, i, canary), 200, "")
			}
			lock.Exec("SELECT pg_advisory_lock(1)")
		},
		revokeAndDeliver: func(t *testing.T, f *harness.Fleet, key string) {
			const revoke = "UPDATE hoko.api_keys SET revoked_at = now() WHERE id = '%s';"
			f.DB.Exec(fmt.Sprintf("BEGIN;"+revoke+revoke+"COMMIT", harness.KeyID(key), harness.KeyID(canary)))
			for i := range f.Edges {
				testenv.Until(t, "the edge has received the notification",
					func() bool { return f.GetLinks(t, i, canary).StatusCode == 401 })
			}
		},
		release: func(t *testing.T) { lock.Exec("SELECT pg_advisory_unlock(1)") },
	}
}
