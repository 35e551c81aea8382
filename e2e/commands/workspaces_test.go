package commands

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// owning is the variable with which commands run as the owner.
func (i *installation) owning() string { return "DATABASE_URL=" + i.owner }

// Runs the commands of the section, in order, beside an edge that has a key of the workspace.
func TestWorkspaces_AsDocumented(t *testing.T) {
	i := install(t)
	lines := commandsIn(t, "workspaces")
	i.run(lines[0], i.owning())
	key := strings.TrimSpace(i.run("caddy hoko keys create --workspace ws_1 --scopes conversionsWrite", i.owning()))
	e := harness.Start(t, harness.Settings{DatabaseURL: i.dsn("hoko_edge"), RedisURL: testenv.Redis(t),
		Upstream: "127.0.0.1:1"})
	c := e.Client(t, "HTTP/2.0")
	sell := func(key string) harness.Answer {
		return e.Call(t, c, "POST", "/api/track/sale", harness.ValidSale, "Authorization", "Bearer "+key)
	}
	until := func(what, key string, reached func(harness.Answer) bool) {
		t.Helper()
		testenv.Until(t, what, func() bool { return reached(sell(key)) })
	}
	limited := func(want string) func(harness.Answer) bool {
		return func(a harness.Answer) bool { return a.Header.Get("X-RateLimit-Limit") == want }
	}
	status := func(want int) func(harness.Answer) bool {
		return func(a harness.Answer) bool { return a.StatusCode == want } // 400: the sale has no lead
	}
	until("the workspace's limit applies", key, limited("50"))
	var out string
	for _, line := range lines[1:] {
		out = i.run(line, i.owning())
		switch {
		case strings.Contains(line, " --limit 1000/1m"):
			until("the new limit applies", key, limited("1000"))
		case strings.Contains(line, " --limit none"):
			until("the route's limit applies", key, limited("600"))
		case strings.Contains(line, " disable "):
			until("its key is rejected", key, status(401))
			if got := sell(i.key); got.StatusCode != 400 {
				t.Errorf("the key of another workspace gets %d", got.StatusCode)
			}
		case strings.Contains(line, " enable "):
			until("its key is accepted", key, status(400))
		case strings.HasSuffix(line, " list"):
			want := regexp.MustCompile(`(?m)^ws_1 +Acme +enabled +600/1m burst 50 +1 +20\S+Z$`)
			if !want.MatchString(out) {
				t.Errorf("%s prints\n%s", line, out)
			}
		}
	}
	var list struct{ Workspaces []map[string]any }
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Workspaces) != 2 {
		t.Fatalf("%v in %s", err, out)
	}
	documented := regexp.MustCompile("`(\\w+)`").FindAllString(strings.Join(
		regexp.MustCompile("(?m)^\\| `.*? \\|").FindAllString(section(t, "workspaces"), -1), ""), -1)
	if len(documented) != len(list.Workspaces[0]) {
		t.Errorf("the page has the members %s, the document %v", documented, list.Workspaces[0])
	}
	for _, member := range documented {
		if _, ok := list.Workspaces[0][strings.Trim(member, "`")]; !ok {
			t.Errorf("the document has no %s", member)
		}
	}
}

// Every way to name the database works with the binary as documented.
func TestCommands_AsDocumented(t *testing.T) {
	i := install(t)
	secret := filepath.Join(t.TempDir(), "database_url")
	testenv.NoError(t, os.WriteFile(secret, []byte(i.dsn("hoko_edge")+"\n"), 0o600))
	id := harness.Connect(t, i.owner).Text(`SELECT id FROM hoko.workspaces`)
	for _, line := range commandsIn(t, "All commands") {
		run := strings.Replace(line, "/run/secrets/database_url", secret, 1)
		out := i.run(run, "DATABASE_URL="+i.dsn("hoko_edge"), "SITE_ADDRESS=localhost", "UPSTREAM=127.0.0.1:1")
		if strings.Contains(line, "workspaces list") && !strings.Contains(out, id) {
			t.Errorf("%s prints\n%s", line, out)
		}
	}
}

func TestAudit_AsDocumented(t *testing.T) {
	i := install(t)
	id := "ws_1"
	i.run("caddy hoko workspaces create Acme --id "+id+"; caddy hoko workspaces disable "+id, i.owning())
	statements := regexp.MustCompile("(?ms)^```sql\n(.*?)^```$").FindAllStringSubmatch(section(t, "The audit"), -1)
	if len(statements) != 2 {
		t.Fatalf("found %d statements", len(statements))
	}
	owner := harness.Connect(t, i.owner)
	read := strings.TrimSuffix(strings.TrimSpace(statements[0][1]), ";")
	got := owner.Text(`SELECT string_agg(command, ', ') FROM (` + read + `) read`)
	if got != "workspaces disable, workspaces create" {
		t.Errorf("the owner reads %q", got)
	}
	edge := harness.Connect(t, i.dsn("hoko_edge"))
	if _, err := edge.Conn.Exec(t.Context(), read); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("the edge's role reads the audit: %v", err)
	}
	columns := owner.Text(`SELECT string_agg(column_name, ' ' ORDER BY ordinal_position)
		FROM information_schema.columns WHERE table_schema = 'hoko' AND table_name = 'audit'`)
	for _, column := range strings.Fields(columns) {
		if !strings.Contains(section(t, "The audit"), "`"+column+"`") {
			t.Errorf("the page lacks the column %s", column)
		}
	}
	owner.Exec(`UPDATE hoko.audit SET at = now() - interval '3 years' WHERE command = 'workspaces create'`)
	owner.Exec(statements[1][1])
	if n := owner.Count(`SELECT count(*) FROM hoko.audit WHERE workspace_id = 'ws_1'`); n != 1 {
		t.Errorf("%d rows are left, want 1", n)
	}
}
