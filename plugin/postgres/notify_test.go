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
	db.Exec(`INSERT INTO hoko.workspaces (id, name, rate_limit, rate_period, rate_burst) VALUES
		('w1', 'one', 1, '1 day', 1), ('w2', 'two', NULL, NULL, NULL)`)
	db.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash, scopes, rate_limit, rate_period) VALUES
		('k1', 'w1', $1, '{linksRead}', 1, '1 day')`, firstHash[:])
	listener.Exec("LISTEN hoko_keys")

	const keys, workspaces = "UPDATE hoko.api_keys SET ", "UPDATE hoko.workspaces SET "
	const newHash = "sha256('second key')"
	one, first := []string{"workspace:w1"}, []string{firstKey}
	for _, c := range []struct {
		name, sql string
		want      []string
	}{
		{"key: id", keys + `id = 'k2'`, first},
		{"key: workspace", keys + `workspace_id = 'w2'`, first},
		{"key: name", keys + `name = 'x'`, nil},
		{"key: hash", keys + `key_hash = ` + newHash, []string{firstKey, secondKey}},
		{"key: first characters", keys + `key_start = 'x'`, nil},
		{"key: scopes", keys + `scopes = '{linksWrite}'`, first},
		{"key: hostnames", keys + `allowed_hostnames = '{example.com}'`, first},
		{"key: rate", keys + `rate_limit = 2`, first},
		{"key: no rate", keys + `rate_limit = NULL`, first},
		{"key: period", keys + `rate_period = '1 hour'`, first},
		{"key: burst", keys + `rate_burst = 2`, first},
		{"key: expiry", keys + `expires_at = 'infinity'`, first},
		{"key: revoked", keys + `revoked_at = now()`, first},
		{"key: creation time", keys + `created_at = now()`, nil},
		{"key: unchanged", keys + `scopes = scopes, rate_period = '24 hours'`, nil},
		{"key: inserted", `INSERT INTO hoko.api_keys (workspace_id, key_hash) VALUES ('w1', ` + newHash + `)`,
			[]string{secondKey}},
		{"key: deleted", `DELETE FROM hoko.api_keys`, first},
		{"keys: truncated", `TRUNCATE hoko.api_keys`, []string{""}},
		{"key: with triggers disabled", `SET LOCAL session_replication_role = replica; ` + keys + `revoked_at = now()`,
			first},
		{"key: hostile search_path", `CREATE FUNCTION public.encode(bytea, text) RETURNS text
			LANGUAGE sql AS 'SELECT NULL::text';
			SET LOCAL search_path = public, pg_catalog; ` + keys + `revoked_at = now()`, first},

		{"workspace: id", workspaces + `id = 'w3' WHERE id = 'w2'`, []string{"workspace:w2", "workspace:w3"}},
		{"workspace: id, with keys", workspaces + `id = 'w3' WHERE id = 'w1'`,
			[]string{"workspace:w1", "workspace:w3", firstKey}},
		{"workspace: name", workspaces + `name = 'x'`, nil},
		{"workspace: rate", workspaces + `rate_limit = 2 WHERE id = 'w1'`, one},
		{"workspace: period", workspaces + `rate_period = '1 hour' WHERE id = 'w1'`, one},
		{"workspace: burst", workspaces + `rate_burst = 2 WHERE id = 'w1'`, one},
		{"workspace: disabled", workspaces + `disabled_at = now()`, []string{"workspace:w1", "workspace:w2"}},
		{"workspace: creation time", workspaces + `created_at = now()`, nil},
		{"workspace: unchanged", workspaces + `rate_limit = rate_limit, rate_period = rate_period * 1`, nil},
		{"workspace: inserted", `INSERT INTO hoko.workspaces (id) VALUES ('w3')`, nil},
		{"workspace: deleted", `DELETE FROM hoko.workspaces WHERE id = 'w2'`, []string{"workspace:w2"}},
		{"workspace: deleted with its keys", `DELETE FROM hoko.workspaces WHERE id = 'w1'`,
			[]string{"workspace:w1", firstKey}},
		{"workspaces: truncated", `TRUNCATE hoko.workspaces CASCADE`, []string{""}},
		{"workspace: longest id in a payload", workspaces + `id = repeat('x', 7989) WHERE id = 'w2'`,
			[]string{"workspace:w2", "workspace:" + strings.Repeat("x", 7989)}},
		{"workspace: longer id", workspaces + `id = repeat('x', 7990) WHERE id = 'w2'`, []string{"workspace:w2", ""}},
		{"workspace: longer id in bytes", workspaces + `id = repeat('ä', 4000) WHERE id = 'w2'`,
			[]string{"workspace:w2", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			// A rollback would drop the notifications, so the rows are saved and restored.
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
			db.Exec(`TRUNCATE hoko.workspaces, hoko.api_keys; INSERT INTO hoko.workspaces TABLE public.saved_workspaces;
				INSERT INTO hoko.api_keys TABLE public.saved_keys`)
			db.Exec(`DROP TABLE public.saved_workspaces, public.saved_keys; NOTIFY hoko_keys, 'restored'`)
			notifications(t, listener, "restored")
		})
	}
}

// notifications returns the payloads that arrive before the payload last.
func notifications(t *testing.T, listener testenv.DB, last string) []string {
	t.Helper()
	var payloads []string
	for {
		n, err := listener.Conn.WaitForNotification(testenv.Guarded(t))
		testenv.NoError(t, err)
		if n.Payload == last {
			return payloads
		}
		payloads = append(payloads, n.Payload)
	}
}
