package commands

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

type finding struct{ Severity, About, Text, Fix string }

type report struct {
	Failures, Warnings int
	Findings           []finding
}

// parseReport fails the test unless the document has the form of docs/commands.md, and each about
// is in the table of docs/operations.md.
func parseReport(t testing.TB, document string) (r report) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil || decoder.More() {
		t.Fatalf("%v in\n%s", err, document)
	}
	counts := map[string]int{"ok": 0, "warning": 0, "failure": 0}
	operations := harness.ReadRoot(t, "docs/operations.md")
	for _, f := range r.Findings {
		if _, known := counts[f.Severity]; !known || f.Text == "" || (f.Fix == "") != (f.Severity == "ok") {
			t.Errorf("a finding is %+v", f)
		}
		counts[f.Severity]++
		if !strings.Contains(operations, "\n| `"+f.About+"` | ") {
			t.Errorf("docs/operations.md does not list %s", f.About)
		}
	}
	if counts["failure"] != r.Failures || counts["warning"] != r.Warnings {
		t.Errorf("it counts %d failures and %d warnings:\n%s", r.Failures, r.Warnings, document)
	}
	return r
}

// installEdge installs with the data of a first sale, and returns the edge's environment.
func installEdge(t testing.TB) (i *installation, environment []string) {
	i = install(t)
	d := harness.Connect(t, i.owner)
	d.Exec(`INSERT INTO hoko.links (id, workspace_id, url, short_url)
		SELECT 'l', id, 'https://example.com', 'https://hoko.to/l' FROM hoko.workspaces`)
	d.Exec(`INSERT INTO hoko.clicks (id, workspace_id, link_id) SELECT 'c', id, 'l' FROM hoko.workspaces`)
	site, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.NoError(t, err)
	t.Cleanup(func() { site.Close() })
	return i, []string{"DATABASE_URL=" + i.dsn("hoko_edge"), "REDIS_URL=" + testenv.Redis(t),
		"SITE_ADDRESS=example.com", "UPSTREAM=" + site.Addr().String(), "XDG_DATA_HOME=" + t.TempDir()}
}

func TestDoctor_AsDocumented(t *testing.T) {
	i, environment := installEdge(t)
	for _, line := range commandsIn(t, "doctor") {
		out := i.run(line+" || test $? = 1", environment...)
		if !strings.Contains(line, "--json") {
			if strings.Contains(out, "FAIL") || strings.Count(out, "warn  ") != 1 {
				t.Errorf("%s printed\n%s", line, out)
			}
			continue
		}
		// The tests' Postgres has fsync off.
		r := parseReport(t, out)
		fsync := func(f finding) bool { return f.About == "durability" && f.Severity == "warning" }
		if r.Failures != 0 || r.Warnings != 1 || !slices.ContainsFunc(r.Findings, fsync) {
			t.Errorf("a good installation has\n%s", out)
		}
		var abouts []string
		for _, f := range r.Findings {
			abouts = append(abouts, f.About)
		}
		for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| ").FindAllStringSubmatch(
			doctorTable(t), -1) {
			if row[1] != "probe" && !slices.Contains(abouts, row[1]) {
				t.Errorf("it reports nothing about %s", row[1])
			}
		}
	}
}

// doctorTable returns the table of checks.
func doctorTable(t testing.TB) string {
	t.Helper()
	_, text, _ := strings.Cut(harness.ReadRoot(t, "docs/operations.md"), "\n| about | what it checks |\n")
	table, _, found := strings.Cut(text, "\n\n")
	if !found {
		t.Fatal("docs/operations.md has no table of checks")
	}
	return table
}

func TestDoctor_ReadsTheConfiguration(t *testing.T) {
	i, environment := installEdge(t)
	shipped := harness.ReadRoot(t, "Caddyfile")
	file := filepath.Join(t.TempDir(), "Caddyfile")
	for _, tc := range []struct {
		name, from, to string
		args           string
		want           []string // severity, about and the beginning of the text
	}{
		{"a missing variable", "{env.REDIS_URL}", "{env.OTHER_URL}", "",
			[]string{"failure configuration " + file + ": the hoko block: redis: {env.OTHER_URL} is empty: set OTHER",
				"ok postgres version", "ok redis redis"}},
		{"a file that does not load", "scopes conversionsWrite", "scops postgres://hoko:s3cret@host/db", "",
			[]string{"failure configuration ", "ok postgres version", "ok redis redis"}},
		{"the addresses of the file", "{env.REDIS_URL}", "redis://127.0.0.1:1", "", []string{"failure redis "}},
		{"flags win", "{env.REDIS_URL}", "redis://127.0.0.1:1", `--redis-url "$REDIS_URL" --redis-prefix site:`,
			[]string{"ok redis redis", "ok postgres version"}},
		{"max_conns", "postgres {env.DATABASE_URL}", "postgres {env.DATABASE_URL} {\nmax_conns 400\n}", "",
			[]string{"warning connections an edge opens up to 400 connections"}},
		{"edges", "", "", "--edges 20", []string{"warning connections 20 edges open up to 320 connections"}},
		{"the database of listen_dsn", "postgres {env.DATABASE_URL}",
			"postgres {env.DATABASE_URL} {\nlisten_dsn postgres://hoko:s3cret@127.0.0.1:1/db\n}", "",
			[]string{"failure listener "}},
		{"the site", "{$UPSTREAM}", "127.0.0.1:1", "", []string{"warning site upstream 127.0.0.1:1 cannot be "}},
		{"trusted proxies", "0rtt off", "0rtt off\ntrusted_proxies static 0.0.0.0/0\ntrusted_proxies_strict", "",
			[]string{"warning trusted-proxies server srv0 (:443) trusts 0.0.0.0/0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			testenv.NoError(t, os.WriteFile(file, []byte(strings.Replace(shipped, tc.from, tc.to, 1)), 0o600))
			out := i.run("caddy hoko doctor --json --config "+file+" "+tc.args+" 2>&1 >\"$XDG_DATA_HOME/out\" "+
				"|| test $? = 1; cat \"$XDG_DATA_HOME/out\"", environment...)
			_, document, _ := strings.Cut(out, "\n{\n")
			r := parseReport(t, "{"+document)
			for _, want := range tc.want {
				if !slices.ContainsFunc(r.Findings, func(f finding) bool {
					return strings.HasPrefix(f.Severity+" "+f.About+" "+f.Text, want)
				}) {
					t.Errorf("want %s in\n%s", want, out)
				}
			}
			if strings.Contains(out, "s3cret") {
				t.Errorf("it prints a password:\n%s", out)
			}
		})
	}
}

func TestDoctor_FewDescriptors(t *testing.T) {
	i, environment := installEdge(t)
	out := i.run("ulimit -n 1024; caddy hoko doctor", environment...)
	if !strings.Contains(out, "warn  file-descriptors: a process that is started as this one may open only 1024 f") {
		t.Errorf("it printed\n%s", out)
	}
}
