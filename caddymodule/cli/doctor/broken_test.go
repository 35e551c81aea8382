package doctor

import (
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// secured returns SQL that enables row-level security for a table of the schema hoko.
func secured(table string) string {
	return "ALTER TABLE hoko." + table + " ENABLE ROW LEVEL SECURITY; "
}

// hidden returns the beginning of a finding about rows of such a table.
func hidden(table string) string {
	return "row-security: row-level security of hoko." + table + " (read through hoko." + table + " as hoko_edge) "
}

// Each case makes one change to a database in which the doctor finds nothing. The doctor runs as
// the role of docs/role.sql.
func TestDoctor_BrokenSchema(t *testing.T) {
	redis := testenv.Redis(t)
	for _, tc := range []struct {
		name, sql string
		want      []string
	}{
		{"nothing", "", nil},

		{"an older schema", "DROP TABLE hoko.maintenance; UPDATE hoko.schema_version SET version = 2", []string{
			"warn  schema: version 2 is older than this edge's",
			"fix: run caddy hoko migrate as the owner"}},
		{"a schema that is too old", "UPDATE hoko.schema_version SET version = 1", []string{
			"FAIL  schema: version 1 is older than this edge's", "fix: run caddy hoko migrate as the owner"}},
		{"a newer schema", "UPDATE hoko.schema_version SET version = 1000", []string{
			"warn  schema: version 1000 is newer than this edge's", "fix: upgrade the edge"}},
		{"the edge's role is of the previous version", "REVOKE SELECT ON hoko.maintenance FROM hoko_edge", []string{
			"warn  schema: the metric hoko_idempotency_cleanup_timestamp_seconds is not updated",
			"fix: run caddy hoko migrate, then docs/role.sql"}},

		{"the role cannot write when keys were used", "REVOKE UPDATE ON hoko.key_usage FROM hoko_edge", []string{
			"warn  key-usage: the role cannot write hoko.key_usage", "fix: run caddy hoko migrate, then docs/role.sql",
			"ok    revocation: the role can revoke keys"}},
		{"there is no last use", "DROP TABLE hoko.key_usage", []string{
			"warn  key-usage: the role cannot write hoko.key_usage"}},
		{"the role cannot revoke", "REVOKE EXECUTE ON FUNCTION hoko.revoke_key FROM hoko_edge", []string{
			"warn  revocation: the role may not run hoko.revoke_key: only the owner can revoke a leaked key",
			"fix: run caddy hoko migrate, then docs/role.sql", "ok    key-usage: "}},
		{"the clean-up is overdue",
			"INSERT INTO hoko.maintenance VALUES ('idempotency clean', now() - interval '73 hours')",
			[]string{"warn  clean-up: idempotency keys were last cleaned up 3 days ago: their table grows",
				"fix: run caddy hoko idempotency clean daily, as the owner of the schema"}},
		{"there was no clean-up", `INSERT INTO hoko.idempotency_keys SELECT 'w', i::text, '', gen_random_uuid(), '{}',
			now() - i * interval '1 day' FROM generate_series(1, 10) i`, []string{
			"warn  clean-up: idempotency keys were never cleaned up: of the first 10, 3 are older than 8 days",
			"fix: run caddy hoko idempotency clean daily"}},
		{"there was a clean-up",
			"INSERT INTO hoko.maintenance VALUES ('idempotency clean', now() - interval '25 hours')",
			[]string{"ok    clean-up: idempotency keys were cleaned up at "}},

		{"a trigger is disabled", "ALTER TABLE hoko.api_keys DISABLE TRIGGER hoko_notify_update", []string{
			"FAIL  triggers: the triggers on hoko.api_keys that notify of UPDATE are disabled: " + consequence,
			"fix: ALTER TABLE hoko.api_keys ENABLE ALWAYS TRIGGER hoko_notify_update"}},
		{"all triggers are disabled", "ALTER TABLE hoko.workspaces DISABLE TRIGGER ALL", []string{
			"FAIL  triggers: the triggers on hoko.workspaces that notify of DELETE, UPDATE are disabled",
			"warn  triggers: no enabled trigger on hoko.workspaces notifies hoko_keys of TRUNCATE"}},
		{"a trigger is for replicas", "ALTER TABLE hoko.api_keys ENABLE REPLICA TRIGGER hoko_notify", []string{
			"FAIL  triggers: the triggers on hoko.api_keys that notify of DELETE are disabled",
			"warn  triggers: no enabled trigger on hoko.api_keys notifies hoko_keys of INSERT"}},
		{"a trigger is missing", "DROP TRIGGER hoko_notify_update ON hoko.workspaces", []string{
			"FAIL  triggers: no trigger on hoko.workspaces notifies hoko_keys of UPDATE: " + consequence,
			"fix: create the triggers of docs/adopting.md", "--probe-key"}},
		{"a trigger does nothing", `CREATE OR REPLACE FUNCTION hoko.notify_api_key() RETURNS trigger LANGUAGE plpgsql
			AS 'BEGIN RETURN NULL; END'`,
			[]string{"FAIL  triggers: no trigger on hoko.api_keys notifies hoko_keys of DELETE, UPDATE"}},
		{"a trigger is an ordinary one", "ALTER TABLE hoko.api_keys ENABLE TRIGGER hoko_notify_update", []string{
			"warn  triggers: triggers on hoko.api_keys (hoko_notify_update) do not fire if",
			"fix: ALTER TABLE hoko.api_keys ENABLE ALWAYS TRIGGER hoko_notify_update"}},
		{"an ordinary trigger and a replicating role", `ALTER TABLE hoko.api_keys ENABLE TRIGGER hoko_notify_update;
			DO $$ BEGIN EXECUTE format('ALTER ROLE hoko_edge IN DATABASE %I SET session_replication_role = replica',
				current_database()); END $$`,
			[]string{"FAIL  triggers: triggers on hoko.api_keys (hoko_notify_update) do not fire if " +
				"session_replication_role is replica, as it is for hoko_edge"}},
		{"a partition's trigger is disabled", `DROP TRIGGER hoko_notify ON hoko.api_keys;
			DROP TRIGGER hoko_notify_update ON hoko.api_keys; ALTER TABLE hoko.api_keys RENAME TO part;
			CREATE TABLE hoko.api_keys (LIKE hoko.part INCLUDING DEFAULTS) PARTITION BY LIST (workspace_id);
			CREATE TRIGGER hoko_notify AFTER INSERT OR UPDATE OR DELETE ON hoko.api_keys
				FOR EACH ROW EXECUTE FUNCTION hoko.notify_api_key();
			ALTER TABLE hoko.api_keys ATTACH PARTITION hoko.part DEFAULT;
			ALTER TABLE hoko.part DISABLE TRIGGER ALL; GRANT SELECT ON hoko.api_keys TO hoko_edge`,
			[]string{"FAIL  triggers: the triggers on hoko.part that notify of DELETE, UPDATE are disabled",
				"warn  triggers: no enabled trigger on hoko.api_keys notifies hoko_keys of TRUNCATE"}},

		{"row-level security of the keys", secured("api_keys"), []string{
			"FAIL  " + hidden("api_keys") + "hides all rows from SELECT: every key is 401",
			"fix: CREATE POLICY hoko_edge_select ON hoko.api_keys FOR SELECT TO hoko_edge USING (true), " +
				"or ALTER ROLE hoko_edge BYPASSRLS"}},
		{"row-level security of the links", secured("links") +
			"CREATE POLICY p ON hoko.links USING (workspace_id = current_setting('my.workspace', true))",
			[]string{"FAIL  " + hidden("links") + "hides all current rows (policies p): every sale is 400"}},
		{"a policy that fails", secured("clicks") +
			"CREATE POLICY p ON hoko.clicks USING (workspace_id = current_setting('my.workspace'))",
			[]string{"FAIL  " + hidden("clicks") + "fails: "}},
		{"a policy of some rows", secured("workspaces") +
			"CREATE POLICY p ON hoko.workspaces USING (disabled_at IS NULL)",
			[]string{"warn  " + hidden("workspaces") +
				"hides some rows from SELECT (policies p); for these, every key is 401"}},
		{"a restrictive policy", secured("workspaces") + `CREATE POLICY a ON hoko.workspaces USING (true);
			CREATE POLICY b ON hoko.workspaces AS RESTRICTIVE USING (disabled_at IS NULL)`,
			[]string{"warn  row-security: row-level security of hoko.workspaces", "(policies b)"}},
		{"a policy for reads of customers only", secured("customers") + `
			CREATE POLICY r ON hoko.customers FOR SELECT USING (true);
			CREATE POLICY i ON hoko.customers FOR INSERT WITH CHECK (true)`,
			[]string{"FAIL  " + hidden("customers") + "hides all rows from UPDATE"}},
		{"a policy of all rows", secured("api_keys") +
			"CREATE POLICY p ON hoko.api_keys FOR SELECT TO hoko_edge USING (true)", nil},
		{"row-level security under a view", `ALTER TABLE hoko.links RENAME TO site_links; CREATE ROLE site;
			GRANT SELECT ON hoko.site_links TO site; GRANT USAGE ON SCHEMA hoko TO site;
			CREATE VIEW hoko.inner_links AS SELECT * FROM hoko.site_links; ALTER VIEW hoko.inner_links OWNER TO site;
			CREATE VIEW hoko.links AS SELECT * FROM hoko.inner_links; GRANT SELECT ON hoko.links TO hoko_edge;
			` + secured("site_links"),
			[]string{"FAIL  row-security: row-level security of hoko.site_links (read through hoko.links as site) " +
				"hides all rows from SELECT: every sale is 400"}},

		{"an index is missing", "ALTER TABLE hoko.clicks DROP CONSTRAINT clicks_pkey", []string{
			"warn  indexes: each sale reads much of hoko.clicks (Seq Scan)",
			"fix: create the index of docs/adopting.md"}},
		{"an index of the latest lead is missing", `DROP INDEX hoko.leads_latest;
			INSERT INTO hoko.leads (workspace_id, customer_id, link_id, event_name)
			SELECT 'w', i % 10, 'l', 'e' FROM generate_series(1, 2000) i`,
			[]string{"warn  indexes: each sale reads much of hoko.leads ("}},
		{"the index of keys is missing", `INSERT INTO hoko.api_keys (workspace_id, key_hash)
				SELECT 'w', sha256(i::text::bytea) FROM generate_series(1, 2000) i;
			ALTER TABLE hoko.api_keys DROP CONSTRAINT api_keys_key_hash_key`,
			[]string{"warn  indexes: each key that is not cached reads much of hoko.api_keys ("}},

		{"narrow columns", "ALTER TABLE hoko.sales ALTER amount TYPE integer", []string{
			"warn  sales: a sale with the longest texts and the largest amount that the API accepts is rejected: "}},
		{"short columns", "ALTER TABLE hoko.customers ALTER email TYPE varchar(100)", []string{
			"warn  sales: a sale with the longest texts", "character varying(100)"}},
		{"a time without its zone", `DROP TRIGGER hoko_notify_update ON hoko.api_keys;
			ALTER TABLE hoko.api_keys ALTER expires_at TYPE timestamp`, []string{"FAIL  keys: ",
			"expires_at of a key is timestamp without time zone, not timestamp with time zone",
			"fix: cast the column"}},
		{"a hash in hex", `ALTER TABLE hoko.api_keys DROP CONSTRAINT api_keys_key_hash_check;
			UPDATE hoko.api_keys SET key_hash = encode(key_hash, 'hex')::bytea`, []string{"decode(digest, 'hex')",
			"FAIL  keys: 1 of 1 keys have a key_hash that is not 32 bytes long: requests with them are 401"}},
		{"a key without its workspace", `ALTER TABLE hoko.api_keys DROP CONSTRAINT api_keys_workspace_id_fkey;
			DELETE FROM hoko.workspaces`, []string{"FAIL  keys: 1 of 1 keys cannot be looked up"}},
		{"an invalid limit", "UPDATE hoko.api_keys SET rate_limit = 0",
			[]string{"warn  keys: ignoring invalid rate limit: relation=hoko.api_keys, key_id=k"}},

		{"synchronous_commit is off", `DO $$ BEGIN
			EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$`, []string{
			"warn  sales: sales are confirmed before they are durable: synchronous_commit is off or local",
			"fix: ALTER ROLE"}},

		{"no links", "DELETE FROM hoko.links", []string{
			"warn  attribution: hoko.links is empty: every sale is 400", "fix: see docs/first-sale.md"}},
		{"neither clicks nor leads", "DELETE FROM hoko.clicks", []string{
			"warn  attribution: hoko.clicks and hoko.leads are empty: every sale is 400",
			"fix: see docs/first-sale.md"}},
		{"no clicks", `DELETE FROM hoko.clicks;
			INSERT INTO hoko.leads (workspace_id, customer_id, link_id, event_name) VALUES ('w', 'c', 'l', 'e')`,
			[]string{"warn  attribution: hoko.clicks is empty: every sale with a clickId is 400"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dsn, db := openShop(t)
			grant(t, db)
			db.Exec(tc.sql)
			report, got := runDoctor(t, Options{DSN: dsn + "&role=hoko_edge", ListenDSN: dsn, RedisURL: redis})
			wantTexts(t, got, tc.want...)
			rowsHidden := strings.Contains(got, "FAIL  row-security: ")
			if rowsHidden && (strings.Contains(got, " attribution: ") || strings.Contains(got, " indexes: ")) {
				t.Errorf("it reports on rows that the role does not see:\n%s", got)
			}
			want := strings.Join(tc.want, "")
			fails, warnings := strings.Count(want, "FAIL  "), strings.Count(want, "warn  ")+1 // 1: fsync is off
			if (report.Failures > 0) != (fails > 0) || fails == 0 && report.Warnings != warnings {
				t.Errorf("it found\n%s", got)
			}
		})
	}
}
