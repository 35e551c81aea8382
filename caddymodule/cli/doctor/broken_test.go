package doctor

import (
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// Each case breaks a database of the shipped schema, in which nothing else is wrong, and is examined as
// the role of docs/role.sql.
func TestDoctor_FindsWhatBreaksTheShippedSchema(t *testing.T) {
	redis := testenv.Redis(t)
	const passes = "a revoked key passes until its ttl is over"
	for _, tc := range []struct {
		name, sql string
		want      []string
	}{
		{"nothing", "", nil},

		{"a trigger is disabled", "ALTER TABLE hoko.api_keys DISABLE TRIGGER hoko_notify_update",
			[]string{"FAIL  triggers: the triggers on hoko.api_keys that notify of UPDATE are disabled: " + passes, "fix: ALTER TABLE hoko.api_keys ENABLE ALWAYS TRIGGER hoko_notify_update"}},
		{"all triggers are disabled", "ALTER TABLE hoko.workspaces DISABLE TRIGGER ALL",
			[]string{"FAIL  triggers: the triggers on hoko.workspaces that notify of DELETE, UPDATE are disabled", "warn  triggers: no enabled trigger on hoko.workspaces notifies hoko_keys of TRUNCATE"}},
		{"a trigger is for replicas", "ALTER TABLE hoko.api_keys ENABLE REPLICA TRIGGER hoko_notify",
			[]string{"FAIL  triggers: the triggers on hoko.api_keys that notify of DELETE are disabled", "warn  triggers: no enabled trigger on hoko.api_keys notifies hoko_keys of INSERT"}},
		{"a trigger is missing", "DROP TRIGGER hoko_notify_update ON hoko.workspaces",
			[]string{"FAIL  triggers: no trigger on hoko.workspaces notifies hoko_keys of UPDATE: " + passes, "fix: create the triggers of docs/adopting.md", "--probe-key"}},
		{"a trigger does nothing", "CREATE OR REPLACE FUNCTION hoko.notify_api_key() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
			[]string{"FAIL  triggers: no trigger on hoko.api_keys notifies hoko_keys of DELETE, UPDATE"}},
		{"a trigger is an ordinary one", "ALTER TABLE hoko.api_keys ENABLE TRIGGER hoko_notify_update",
			[]string{"warn  triggers: triggers on hoko.api_keys (hoko_notify_update) do not fire in sessions that replicate", "fix: ALTER TABLE hoko.api_keys ENABLE ALWAYS TRIGGER hoko_notify_update"}},
		{"an ordinary trigger, and a role that replicates", `ALTER TABLE hoko.api_keys ENABLE TRIGGER hoko_notify_update;
			DO $$ BEGIN EXECUTE format('ALTER ROLE hoko_edge IN DATABASE %I SET session_replication_role = replica', current_database()); END $$`,
			[]string{"FAIL  triggers: triggers on hoko.api_keys (hoko_notify_update) do not fire", "session_replication_role is replica for hoko_edge"}},
		{"a partition's trigger is disabled", `DROP TRIGGER hoko_notify ON hoko.api_keys; DROP TRIGGER hoko_notify_update ON hoko.api_keys; ALTER TABLE hoko.api_keys RENAME TO part;
			CREATE TABLE hoko.api_keys (LIKE hoko.part INCLUDING DEFAULTS) PARTITION BY LIST (workspace_id);
			CREATE TRIGGER hoko_notify AFTER INSERT OR UPDATE OR DELETE ON hoko.api_keys FOR EACH ROW EXECUTE FUNCTION hoko.notify_api_key();
			ALTER TABLE hoko.api_keys ATTACH PARTITION hoko.part DEFAULT; ALTER TABLE hoko.part DISABLE TRIGGER ALL; GRANT SELECT ON hoko.api_keys TO hoko_edge`,
			[]string{"FAIL  triggers: the triggers on hoko.part that notify of DELETE, UPDATE are disabled", "warn  triggers: no enabled trigger on hoko.api_keys notifies hoko_keys of TRUNCATE"}},

		{"row-level security of the keys", "ALTER TABLE hoko.api_keys ENABLE ROW LEVEL SECURITY",
			[]string{"FAIL  row-security: row-level security of hoko.api_keys, read for hoko.api_keys as hoko_edge, admits no row to SELECT: every key is 401",
				"fix: CREATE POLICY hoko_edge_select ON hoko.api_keys FOR SELECT TO hoko_edge USING (true), or ALTER ROLE hoko_edge BYPASSRLS"}},
		{"row-level security of the links", "ALTER TABLE hoko.links ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON hoko.links USING (workspace_id = current_setting('my.workspace', true))",
			[]string{"FAIL  row-security: row-level security of hoko.links, read for hoko.links as hoko_edge, admits no row now (policies p): every sale is 400"}},
		{"a policy that fails", "ALTER TABLE hoko.clicks ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON hoko.clicks USING (workspace_id = current_setting('my.workspace'))",
			[]string{"FAIL  row-security: row-level security of hoko.clicks, read for hoko.clicks as hoko_edge, fails: "}},
		{"a policy of some rows", "ALTER TABLE hoko.workspaces ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON hoko.workspaces USING (disabled_at IS NULL)",
			[]string{"warn  row-security: row-level security of hoko.workspaces, read for hoko.workspaces as hoko_edge, admits only some rows to SELECT (policies p); of the others, every key is 401"}},
		{"a restrictive policy", "ALTER TABLE hoko.workspaces ENABLE ROW LEVEL SECURITY; CREATE POLICY a ON hoko.workspaces USING (true); CREATE POLICY b ON hoko.workspaces AS RESTRICTIVE USING (disabled_at IS NULL)",
			[]string{"warn  row-security: row-level security of hoko.workspaces", "(policies b)"}},
		{"a policy for reads of customers only", "ALTER TABLE hoko.customers ENABLE ROW LEVEL SECURITY; CREATE POLICY r ON hoko.customers FOR SELECT USING (true); CREATE POLICY i ON hoko.customers FOR INSERT WITH CHECK (true)",
			[]string{"FAIL  row-security: row-level security of hoko.customers, read for hoko.customers as hoko_edge, admits no row to UPDATE"}},
		{"a policy of all rows", "ALTER TABLE hoko.api_keys ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON hoko.api_keys FOR SELECT TO hoko_edge USING (true)", nil},
		{"row-level security under a view", `ALTER TABLE hoko.links RENAME TO site_links; CREATE ROLE site; GRANT SELECT ON hoko.site_links TO site; GRANT USAGE ON SCHEMA hoko TO site;
			CREATE VIEW hoko.inner_links AS SELECT * FROM hoko.site_links; ALTER VIEW hoko.inner_links OWNER TO site;
			CREATE VIEW hoko.links AS SELECT * FROM hoko.inner_links; GRANT SELECT ON hoko.links TO hoko_edge;
			ALTER TABLE hoko.site_links ENABLE ROW LEVEL SECURITY`,
			[]string{"FAIL  row-security: row-level security of hoko.site_links, read for hoko.links as site, admits no row to SELECT: every sale is 400"}},

		{"an index is missing", "ALTER TABLE hoko.clicks DROP CONSTRAINT clicks_pkey",
			[]string{"warn  indexes: each sale reads much of hoko.clicks (Seq Scan)", "fix: create the index of docs/adopting.md"}},
		{"an index of the latest lead is missing", "INSERT INTO hoko.leads (workspace_id, customer_id, link_id, event_name) SELECT 'w', i % 10, 'l', 'e' FROM generate_series(1, 2000) i; DROP INDEX hoko.leads_latest",
			[]string{"warn  indexes: each sale reads much of hoko.leads ("}},
		{"the index of keys is missing", "INSERT INTO hoko.api_keys (workspace_id, key_hash) SELECT 'w', sha256(i::text::bytea) FROM generate_series(1, 2000) i; ALTER TABLE hoko.api_keys DROP CONSTRAINT api_keys_key_hash_key",
			[]string{"warn  indexes: each key that is not cached reads much of hoko.api_keys ("}},

		{"narrow columns", "ALTER TABLE hoko.sales ALTER amount TYPE integer", []string{"warn  sales: a sale with the longest texts and the largest amount that the API accepts is rejected: "}},
		{"short columns", "ALTER TABLE hoko.customers ALTER email TYPE varchar(100)", []string{"warn  sales: a sale with the longest texts", "character varying(100)"}},
		{"a time without its zone", "DROP TRIGGER hoko_notify_update ON hoko.api_keys; ALTER TABLE hoko.api_keys ALTER expires_at TYPE timestamp",
			[]string{"FAIL  keys: ", "expires_at of a key is timestamp without time zone, not timestamp with time zone"}},
		{"a hash in hex", "ALTER TABLE hoko.api_keys DROP CONSTRAINT api_keys_key_hash_check; UPDATE hoko.api_keys SET key_hash = encode(key_hash, 'hex')::bytea",
			[]string{"FAIL  keys: of 1 keys, 1 have a key_hash that is not 32 bytes long: requests with them are 401", "decode(digest, 'hex')"}},
		{"a key without its workspace", "ALTER TABLE hoko.api_keys DROP CONSTRAINT api_keys_workspace_id_fkey; DELETE FROM hoko.workspaces",
			[]string{"FAIL  keys: of 1 keys, 1 cannot be looked up"}},
		{"an invalid limit", "UPDATE hoko.api_keys SET rate_limit = 0", []string{"warn  keys: ignoring invalid rate limit: relation=hoko.api_keys, key_id=k"}},

		{"synchronous_commit is off", "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$",
			[]string{"warn  sales: sales are answered before they are safe: synchronous_commit is off or local", "fix: ALTER ROLE"}},

		{"no links", "DELETE FROM hoko.links", []string{"warn  attribution: hoko.links is empty: every sale is 400", "fix: see docs/first-sale.md"}},
		{"neither clicks nor leads", "DELETE FROM hoko.clicks", []string{"warn  attribution: hoko.clicks and hoko.leads are empty: every sale is 400", "fix: see docs/first-sale.md"}},
		{"no clicks", "DELETE FROM hoko.clicks; INSERT INTO hoko.leads (workspace_id, customer_id, link_id, event_name) VALUES ('w', 'c', 'l', 'e')",
			[]string{"warn  attribution: hoko.clicks is empty: every sale with a clickId is 400"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dsn, db := openShop(t)
			grant(t, db)
			db.Exec(tc.sql)
			report, got := examine(t, Options{DSN: dsn + "&role=hoko_edge", ListenDSN: dsn, RedisURL: redis})
			wantLines(t, got, tc.want...)
			if strings.Contains(got, "FAIL  row-security: ") && (strings.Contains(got, " attribution: ") || strings.Contains(got, " indexes: ")) {
				t.Errorf("it judges rows that the role does not see:\n%s", got)
			}
			fails, warns := 0, 0
			for _, want := range tc.want {
				fails += strings.Count(want, "FAIL  ")
				warns += strings.Count(want, "warn  ")
			}
			if (report.Failures > 0) != (fails > 0) || fails == 0 && report.Warnings != warns+1 { // 1: the tests' server has fsync off
				t.Errorf("it found\n%s", got)
			}
		})
	}
}
