package commands

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// What docs/operations.md tells the owner of a new database to do, as printed;
// then an edge with the role that comes of it.
func TestTheInstallationThatTheDocumentsDescribeRecordsASale(t *testing.T) {
	doc := harness.ReadRoot(t, "docs/operations.md")
	commands := regexp.MustCompile("(?s)```bash\n(# Once, .*?)```").FindStringSubmatch(doc)
	cleaning := regexp.MustCompile("caddy hoko idempotency clean .*").FindString(doc)
	erasing := regexp.MustCompile("caddy hoko idempotency erase .*").FindString(doc)
	if commands == nil || cleaning == "" || erasing == "" {
		t.Fatal("the owner's commands are not in docs/operations.md")
	}
	owner := testenv.EmptyDatabase(t)
	bin := t.TempDir()
	if err := os.Symlink(testenv.Edge(t), filepath.Join(bin, "caddy")); err != nil {
		t.Fatal(err)
	}
	environment := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "OWNER_DATABASE_URL="+owner, "HOME="+bin)
	run := func(script string, env ...string) string {
		t.Helper()
		shell := exec.CommandContext(t.Context(), "bash", "-euc", script)
		shell.Dir, shell.Env = "../..", append(environment, env...)
		shell.Stderr = os.Stderr
		out, err := shell.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	key := regexp.MustCompile(`hoko_[0-9A-Za-z]{43}`).FindString(run(commands[1]))
	if key == "" {
		t.Fatal("no key was printed")
	}

	d := harness.Connect(t, owner)
	d.Exec(`INSERT INTO hoko.links (id, workspace_id, url, short_url) SELECT 'l', id, 'https://example.com', 'https://hoko.to/l' FROM hoko.workspaces`)
	d.Exec(`INSERT INTO hoko.clicks (id, workspace_id, link_id) SELECT 'c', id, 'l' FROM hoko.workspaces`)

	role, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	query := role.Query()
	query.Set("user", "hoko_edge")
	role.User, role.RawQuery = nil, query.Encode()
	redis := testenv.Redis(t)
	run("caddy hoko doctor", "DATABASE_URL="+role.String(), "REDIS_URL="+redis)

	e := harness.Start(t, harness.Settings{DatabaseURL: role.String(), RedisURL: redis, Upstream: "127.0.0.1:1"})
	sold := e.Call(t, e.Client(t, "HTTP/2.0"), "POST", "/api/track/sale", strings.Replace(harness.ValidSale, "{", `{"clickId":"c",`, 1),
		"Authorization", "Bearer "+key, "Idempotency-Key", "order 1")
	if sold.StatusCode != 201 {
		t.Fatalf("got %d %s", sold.StatusCode, sold.Text)
	}
	workspace := d.Text("SELECT id FROM hoko.workspaces")
	run(strings.Replace(erasing, "ws_1", workspace, 1), "DATABASE_URL="+owner)
	if n := d.Count("SELECT count(*) FROM hoko.idempotency_keys WHERE response #>> '{customer,name}' = ''"); n != 1 {
		t.Errorf("the person is erased from %d answers", n)
	}
	d.Exec(`UPDATE hoko.idempotency_keys SET created_at = now() - interval '9 days'`)
	run(cleaning, "DATABASE_URL="+owner)
	if n := d.Count("SELECT count(*) FROM hoko.idempotency_keys"); n != 0 {
		t.Errorf("%d idempotency keys are left", n)
	}
}
