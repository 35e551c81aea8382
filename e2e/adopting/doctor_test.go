package adopting

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// Each case breaks the site in a way that docs/adopting.md warns of. The doctor runs as hoko_edge.
func TestDoctor_OverASite(t *testing.T) {
	redis := testenv.Redis(t)
	for _, tc := range []struct {
		name, sql string
		want      []string
	}{
		{"nothing is wrong", "", nil},
		{"nothing is wrong with a flag instead of a time", "FLAG", nil},
		{"the triggers were left out", `DROP TRIGGER hoko_notify ON site.tokens;
			DROP TRIGGER hoko_notify_update ON site.tokens; DROP TRIGGER hoko_notify_truncate ON site.tokens`,
			[]string{"FAIL  triggers: no trigger on site.tokens notifies hoko_keys of DELETE, UPDATE: " +
				"a revoked key passes", "fix: create the triggers of docs/adopting.md, step 5"}},
		{"the triggers of teams are disabled", "ALTER TABLE site.teams DISABLE TRIGGER USER",
			[]string{"FAIL  triggers: the triggers on site.teams that notify of DELETE, UPDATE are disabled",
				"fix: ALTER TABLE site.teams ENABLE ALWAYS TRIGGER hoko_notify, " +
					"ENABLE ALWAYS TRIGGER hoko_notify_truncate, ENABLE ALWAYS TRIGGER hoko_notify_update"}},
		{"the triggers are ordinary ones", "ALTER TABLE site.tokens ENABLE TRIGGER USER", []string{
			"warn  triggers: triggers on site.tokens (hoko_notify, hoko_notify_truncate, hoko_notify_update)"}},
		{"a view reads a further table", `CREATE TABLE site.plans (team_id uuid PRIMARY KEY, requests integer);
			CREATE OR REPLACE VIEW hoko.workspaces AS SELECT t.id::text COLLATE "C" AS id, title AS name,
				p.requests AS rate_limit, interval '1 minute' AS rate_period, NULL::integer AS rate_burst,
				CASE WHEN suspended THEN timestamptz '-infinity' END AS disabled_at
				FROM site.teams t LEFT JOIN site.plans p ON p.team_id = t.id`,
			[]string{"warn  triggers: hoko.workspaces also reads site.plans, none of whose triggers notifies"}},
		{"row-level security that binds the owner of the views",
			`DO $$ BEGIN IF to_regrole('views') IS NULL THEN CREATE ROLE views; END IF; END $$;
			GRANT USAGE ON SCHEMA site TO views; GRANT SELECT ON ALL TABLES IN SCHEMA site TO views;
			ALTER VIEW hoko.api_keys OWNER TO views;
			ALTER TABLE site.tokens ENABLE ROW LEVEL SECURITY`,
			[]string{"FAIL  row-security: row-level security of site.tokens (read through hoko.api_keys as views) " +
				"hides all rows from SELECT: every key is 401"}},
		{"row-level security that binds the edge, as the view is a security_invoker",
			`GRANT USAGE ON SCHEMA site TO hoko_edge; GRANT SELECT ON site.short_links TO hoko_edge;
			ALTER VIEW hoko.links SET (security_invoker = true);
			ALTER TABLE site.short_links ENABLE ROW LEVEL SECURITY`,
			[]string{"FAIL  row-security: row-level security of site.short_links (read through hoko.links as " +
				"hoko_edge) hides all rows from SELECT: every sale is 400"}},
		{"an index was left out", "DROP INDEX site.tokens_decode_idx",
			[]string{"warn  indexes: each key that is not cached reads much of site.tokens (Seq Scan)"}},
		{"an index of another collation",
			"DROP INDEX site.visits_id_idx; CREATE UNIQUE INDEX ON site.visits ((id::text))",
			[]string{"warn  indexes: each sale reads much of site.visits ("}},
		{"an index of leads was left out", "DROP INDEX site.signups_client_id_made_at_id_idx",
			[]string{"warn  indexes: each sale reads much of site.signups ("}},
		{"a narrow column", "ALTER TABLE site.clients ADD CHECK (length(mail) < 100)",
			[]string{"warn  sales: a sale with the longest texts", "clients_mail_check"}},
		{"no visits", "DELETE FROM site.visits", []string{"warn  attribution: hoko.clicks is empty"}},
		{"a materialized view", "DROP VIEW hoko.api_keys; " +
			`CREATE MATERIALIZED VIEW site.copied AS SELECT id::text COLLATE "C" AS id,
				team_id::text COLLATE "C" AS workspace_id, sha256(digest::bytea) AS key_hash,
				'{}'::text[] AS scopes, '{}'::text[] AS allowed_hostnames, 1 AS rate_limit,
				interval '1 minute' AS rate_period, 1 AS rate_burst, valid_until AS expires_at,
				NULL::timestamptz AS revoked_at FROM site.tokens;
			CREATE UNIQUE INDEX ON site.copied (key_hash); CREATE VIEW hoko.api_keys AS TABLE site.copied;
			GRANT SELECT ON hoko.api_keys TO hoko_edge`,
			[]string{"warn  triggers: hoko.api_keys reads site.copied, a materialized view or foreign table"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if strings.Contains(tc.name, "index") {
				tc.sql = growthSQL + `; INSERT INTO site.visits (link_id) SELECT 1 FROM generate_series(1, 5000);
					ANALYZE site.visits; ` + tc.sql
			}
			a, dsn := readAdoption(t), testenv.Database(t)
			d := a.apply(t, dsn, nil)
			d.Exec(strings.Replace(tc.sql, "FLAG", a.flag, 1))
			doctor := exec.Command(testenv.Edge(t), "hoko", "doctor", "--listen-url", dsn)
			doctor.Env = append(os.Environ(), "DATABASE_URL="+dsn+"&role=hoko_edge", "REDIS_URL="+redis)
			out, err := doctor.Output()
			got := string(out)
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("the output lacks %q:\n%s", want, got)
				}
			}
			warned := strings.Count(got, "warn  ") - 1 // 1: fsync is off
			failed := strings.Contains(strings.Join(tc.want, ""), "FAIL  ")
			if (err != nil) != failed || len(tc.want) == 0 && warned > 0 {
				t.Errorf("%v\n%s", err, got)
			}
		})
	}
}

func TestDoctorProbe_OverASite(t *testing.T) {
	a, dsn := readAdoption(t), testenv.Database(t)
	d := a.apply(t, dsn, nil)
	expectProbe := func(want string) {
		t.Helper()
		doctor := exec.Command(testenv.Edge(t), "hoko", "doctor", "--database-url", dsn, "--redis-url",
			testenv.Redis(t), "--probe-key", "1")
		if got, _ := doctor.Output(); !strings.Contains(string(got), want) {
			t.Errorf("the output lacks %q:\n%s", want, got)
		}
	}
	before := d.Text("SELECT string_agg(t::text, ';' ORDER BY id) FROM site.tokens t")
	expectProbe("ok    probe: key 1: changes of expires_at were announced and undone")
	d.Exec(`CREATE OR REPLACE FUNCTION hoko.notify_token() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_notify('hoko_keys', 'key:' || md5(NEW.digest) || md5('')); RETURN NULL; END $$`)
	expectProbe("FAIL  probe: key 1: changes of expires_at were not announced: a revoked key passes")
	d.Exec(a.revoke)
	expectProbe("FAIL  probe: key 1: changes of revoked_at, expires_at were not announced")
	if after := d.Text("SELECT string_agg(t::text, ';' ORDER BY id) FROM site.tokens t"); after != before {
		t.Errorf("the tokens changed from\n%s\nto\n%s", before, after)
	}
}
