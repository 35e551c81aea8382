package commands

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

// blocks returns the fenced blocks of a language in a page.
func blocks(t testing.TB, page, language string) (texts []string) {
	t.Helper()
	fenced := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	for _, block := range fenced.FindAllStringSubmatch(harness.ReadRoot(t, page), -1) {
		texts = append(texts, block[1])
	}
	if len(texts) == 0 {
		t.Fatalf("%s has no block of %s", page, language)
	}
	return texts
}

func TestCaddyfiles_AsDocumentedAdapt(t *testing.T) {
	for _, page := range []string{
		"docs/browsers.md", "docs/caddyfile.md", "docs/metrics.md", "docs/operations.md", "docs/tracing.md",
	} {
		for _, block := range blocks(t, page, "caddyfile") {
			config := block
			switch {
			case strings.HasPrefix(block, "{"):
				config += "localhost {\n}\n"
			case !strings.HasPrefix(block, "http"):
				config = "localhost {\n" + block + "}\n"
			}
			file := filepath.Join(t.TempDir(), "Caddyfile")
			if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, code := caddy(t, []string{"adapt", "--config", file}); code != 0 {
				t.Errorf("%s: %s\n%s", page, block, out)
			}
		}
	}
}

func TestKeys_AsDocumented(t *testing.T) {
	i := install(t)
	var start string
	for line := range strings.Lines(blocks(t, "docs/keys.md", "bash")[0]) {
		out := i.run(strings.Replace(line, "hoko_Ab12", start, 1), "DATABASE_URL="+i.owner)
		if key := regexp.MustCompile(`hoko_\w+`).FindString(out); start == "" && len(key) > 9 {
			start = key[:9]
		}
	}
	owner := harness.Connect(t, i.owner)
	if n := owner.Count("SELECT count(*) FROM hoko.api_keys WHERE revoked_at IS NOT NULL"); n != 1 {
		t.Errorf("%d keys are revoked, want 1", n)
	}
	owner.Exec(blocks(t, "docs/keys.md", "sql")[1])
	leaked := strings.NewReplacer("hoko_the_leaked_key", i.key, "ws_1", owner.Text("SELECT id FROM hoko.workspaces"))
	owner.Exec(leaked.Replace(blocks(t, "docs/keys.md", "sql")[0]))
	if n := owner.Count("SELECT count(*) FROM hoko.api_keys WHERE revoked_at IS NULL"); n != 0 {
		t.Errorf("%d keys are valid, want none", n)
	}
	if n := owner.Count("SELECT count(*) FROM hoko.workspaces WHERE disabled_at IS NULL"); n != 0 {
		t.Errorf("%d workspaces are enabled, want none", n)
	}
}

// In a transaction, because all tests share the role.
func TestPgBouncer_RoleSettingsAsDocumented(t *testing.T) {
	owner := harness.Connect(t, install(t).owner)
	owner.Exec("BEGIN;" + blocks(t, "docs/operations.md", "sql")[0])
	settings := owner.Text("SELECT array_to_string(rolconfig, ' ') FROM pg_roles WHERE rolname = 'hoko_edge'")
	owner.Exec("ROLLBACK")
	if !strings.Contains(settings, "plan_cache_mode=force_generic_plan") {
		t.Errorf("the role has %s", settings)
	}
}
