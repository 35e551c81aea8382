package postgres_test

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
)

var (
	firstHash  = sha256.Sum256([]byte("first key"))
	secondHash = sha256.Sum256([]byte("second key"))
	firstKey   = "key:" + hex.EncodeToString(firstHash[:])
	secondKey  = "key:" + hex.EncodeToString(secondHash[:])
)

func TestTriggers_Notify(t *testing.T) {
	dsn := testenv.Database(t)
	db, listener := testenv.Connect(t, dsn), testenv.Connect(t, dsn)
	db.Exec(`INSERT INTO hoko.workspaces (id, name, rate_limit, rate_period, rate_burst) VALUES ('w1', 'one', 1, '1 day', 1), ('w2', 'two', NULL, NULL, NULL)`)
	db.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash, scopes, rate_limit, rate_period) VALUES ('k1', 'w1', $1, '{linksRead}', 1, '1 day')`, firstHash[:])
	listener.Exec("LISTEN hoko_keys")

	long := strings.Repeat("ä", 4_000)
	for _, c := range []struct {
		name, sql string
		want      []string
	}{
		{"key: its id", `UPDATE hoko.api_keys SET id = 'k2'`, []string{firstKey}},
		{"key: its workspace", `UPDATE hoko.api_keys SET workspace_id = 'w2'`, []string{firstKey}},
		{"key: its name", `UPDATE hoko.api_keys SET name = 'x'`, nil},
		{"key: its hash", `UPDATE hoko.api_keys SET key_hash = sha256('second key')`, []string{firstKey, secondKey}},
		{"key: its first characters", `UPDATE hoko.api_keys SET key_start = 'x'`, nil},
		{"key: its scopes", `UPDATE hoko.api_keys SET scopes = '{linksWrite}'`, []string{firstKey}},
		{"key: its hostnames", `UPDATE hoko.api_keys SET allowed_hostnames = '{example.com}'`, []string{firstKey}},
		{"key: its rate", `UPDATE hoko.api_keys SET rate_limit = 2`, []string{firstKey}},
		{"key: no rate any more", `UPDATE hoko.api_keys SET rate_limit = NULL`, []string{firstKey}},
		{"key: its period", `UPDATE hoko.api_keys SET rate_period = '1 hour'`, []string{firstKey}},
		{"key: its burst", `UPDATE hoko.api_keys SET rate_burst = 2`, []string{firstKey}},
		{"key: its expiry", `UPDATE hoko.api_keys SET expires_at = 'infinity'`, []string{firstKey}},
		{"key: revoked", `UPDATE hoko.api_keys SET revoked_at = now()`, []string{firstKey}},
		{"key: its creation", `UPDATE hoko.api_keys SET created_at = now()`, nil},
		{"key: nothing", `UPDATE hoko.api_keys SET scopes = scopes, rate_period = '24 hours'`, nil},
		{"key: inserted", `INSERT INTO hoko.api_keys (workspace_id, key_hash) VALUES ('w1', sha256('second key'))`, []string{secondKey}},
		{"key: deleted", `DELETE FROM hoko.api_keys`, []string{firstKey}},
		{"keys: truncated", `TRUNCATE hoko.api_keys`, []string{""}},
		{"key: with triggers switched off", `SET LOCAL session_replication_role = replica; UPDATE hoko.api_keys SET revoked_at = now()`, []string{firstKey}},
		{"key: whatever the search_path", `CREATE FUNCTION public.encode(bytea, text) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'; SET LOCAL search_path = public, pg_catalog; UPDATE hoko.api_keys SET revoked_at = now()`, []string{firstKey}},

		{"workspace: its id", `UPDATE hoko.workspaces SET id = 'w3' WHERE id = 'w2'`, []string{"workspace:w2", "workspace:w3"}},
		{"workspace: its id, and so its keys", `UPDATE hoko.workspaces SET id = 'w3' WHERE id = 'w1'`, []string{"workspace:w1", "workspace:w3", firstKey}},
		{"workspace: its name", `UPDATE hoko.workspaces SET name = 'x'`, nil},
		{"workspace: its rate", `UPDATE hoko.workspaces SET rate_limit = 2 WHERE id = 'w1'`, []string{"workspace:w1"}},
		{"workspace: its period", `UPDATE hoko.workspaces SET rate_period = '1 hour' WHERE id = 'w1'`, []string{"workspace:w1"}},
		{"workspace: its burst", `UPDATE hoko.workspaces SET rate_burst = 2 WHERE id = 'w1'`, []string{"workspace:w1"}},
		{"workspace: disabled", `UPDATE hoko.workspaces SET disabled_at = now()`, []string{"workspace:w1", "workspace:w2"}},
		{"workspace: its creation", `UPDATE hoko.workspaces SET created_at = now()`, nil},
		{"workspace: nothing", `UPDATE hoko.workspaces SET rate_limit = rate_limit, rate_period = rate_period * 1`, nil},
		{"workspace: inserted", `INSERT INTO hoko.workspaces (id) VALUES ('w3')`, nil},
		{"workspace: deleted", `DELETE FROM hoko.workspaces WHERE id = 'w2'`, []string{"workspace:w2"}},
		{"workspace: deleted with its keys", `DELETE FROM hoko.workspaces WHERE id = 'w1'`, []string{"workspace:w1", firstKey}},
		{"workspaces: truncated", `TRUNCATE hoko.workspaces CASCADE`, []string{""}},
		{"workspace: the longest id that a notification holds", `UPDATE hoko.workspaces SET id = repeat('x', 7989) WHERE id = 'w2'`, []string{"workspace:w2", "workspace:" + strings.Repeat("x", 7989)}},
		{"workspace: a longer id", `UPDATE hoko.workspaces SET id = repeat('x', 7990) WHERE id = 'w2'`, []string{"workspace:w2", ""}},
		{"workspace: a longer id in bytes", `UPDATE hoko.workspaces SET id = '` + long + `' WHERE id = 'w2'`, []string{"workspace:w2", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Rows and notifications are those of a transaction; undone by what was saved before.
			db := testenv.DB{T: t, Conn: db.Conn}
			db.Exec("CREATE TABLE public.saved_workspaces AS TABLE hoko.workspaces")
			db.Exec("CREATE TABLE public.saved_keys AS TABLE hoko.api_keys")
			db.Exec(c.sql)
			db.Exec("NOTIFY hoko_keys, 'end of test'")
			got := notifications(t, listener, "end of test")
			if !slices.Equal(got, c.want) {
				t.Errorf("notified %.200q, want %.200q", got, c.want)
			}
			db.Exec(`DROP FUNCTION IF EXISTS public.encode(bytea, text)`)
			db.Exec(`TRUNCATE hoko.workspaces, hoko.api_keys; INSERT INTO hoko.workspaces TABLE public.saved_workspaces; INSERT INTO hoko.api_keys TABLE public.saved_keys`)
			db.Exec(`DROP TABLE public.saved_workspaces, public.saved_keys; NOTIFY hoko_keys, 'restored'`)
			notifications(t, listener, "restored")
		})
	}
}

// notifications are those that arrived before the one with the last payload.
func notifications(t *testing.T, listener testenv.DB, last string) []string {
	t.Helper()
	var payloads []string
	for {
		n, err := listener.Conn.WaitForNotification(testenv.Guarded(t))
		if err != nil {
			t.Fatal(err)
		}
		if n.Payload == last {
			return payloads
		}
		payloads = append(payloads, n.Payload)
	}
}
