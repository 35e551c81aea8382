package commands

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// explained is an installed edge with a request that its limit denied.
type explained struct {
	*installation
	edge         *harness.Edge
	request, key string // the X-Request-Id and the ID of the key
	environment  []string
}

func startExplained(t *testing.T) *explained {
	t.Helper()
	i := install(t)
	owner := harness.Connect(t, i.owner)
	owner.Exec(`UPDATE hoko.api_keys SET rate_limit = 1, rate_period = '1 hour'`)
	e := &explained{installation: i, key: owner.Text(`SELECT id FROM hoko.api_keys`)}
	e.edge = harness.Start(t, harness.Settings{
		DatabaseURL: i.dsn("hoko_edge"), RedisURL: testenv.Redis(t), Upstream: "127.0.0.1:1",
	})
	e.environment = []string{"CADDY_ADMIN=unix/" + e.edge.Admin, "XDG_CONFIG_HOME=" + t.TempDir()}
	client := e.edge.Client(t, "HTTP/2.0")
	sale := func() harness.Answer {
		return e.edge.Call(t, client, "POST", "/api/track/sale", "{}", "Authorization", i.key)
	}
	harness.WantStatus(t, sale(), 400)
	denied := sale()
	harness.WantStatus(t, denied, 429)
	e.request = denied.Header.Get("X-Request-Id")
	testenv.Until(t, "the request is remembered", func() bool {
		return strings.Contains(e.edge.AdminGet(t, "/hoko/explain?key="+e.key), e.request)
	})
	return e
}

// explain runs the command as the edge's user would, and returns its output and exit code.
func (e *explained) explain(t *testing.T, args ...string) (out string, exitCode int) {
	t.Helper()
	return caddy(t, append([]string{"hoko", "explain"}, args...), e.environment...)
}

func TestExplain_AsDocumented(t *testing.T) {
	e := startExplained(t)
	file := filepath.Join(t.TempDir(), "key")
	testenv.NoError(t, os.WriteFile(file, []byte(e.installation.key+"\n"), 0o600))
	actual := strings.NewReplacer("9aa9b8a1-2f0e-4a0b-a3a4-0d0b9e6a3c11", e.request, "key.txt", file,
		"88f83f80-5f0a-4f0e-9c70-1d1d3d1c9a55", e.key, "hoko_Ab12", e.installation.key[:9])
	lines := commandsIn(t, "explain")
	for n, line := range lines {
		out := e.run(actual.Replace(line), e.environment...)
		wants := []string{"key " + e.key, "valid", "limit default:", "1/1h, 0 left", "429 rate_limit", "400 invalid"}
		switch {
		case n == 0:
			wants = []string{"429 rate_limit: limit of ", e.request, "The bucket default (1/1h) of the key was empty",
				"Next: It admits again at ", "caddy hoko keys update " + e.key}
		case strings.HasSuffix(line, "--json"):
			wants = []string{`"key_id": "` + e.key + `"`, `"state": "found"`, `"requests": [`}
			if !json.Valid([]byte(out)) {
				t.Errorf("%s: no JSON document: %s", line, out)
			}
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", line, want, out)
			}
		}
		if strings.Contains(out, e.installation.key) || strings.Contains(out, "\x1b") {
			t.Errorf("%s prints the key, or colors:\n%s", line, out)
		}
	}
	if len(lines) != 4 {
		t.Errorf("%d commands are documented", len(lines))
	}
	state := e.edge.AdminGet(t, "/hoko/")
	if want := `"keys":[{"key_id":"` + e.key + `"`; !strings.Contains(state, want) {
		t.Errorf("the most denied keys are not in %s", state)
	}
}

func TestExplain_WholeKeysStayHere(t *testing.T) {
	e := startExplained(t)
	custom := "a-key-of-any-form-0123456789"
	harness.Connect(t, e.owner).Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash)
		SELECT 'custom', id, sha256($1::text::bytea) FROM hoko.workspaces`, custom)
	for _, key := range []string{e.installation.key, custom, e.installation.key + "x", "no-such-key-0123456789"} {
		out, code := e.explain(t, key)
		known := key == e.installation.key || key == custom
		if known != (code == 0) || strings.Contains(out, key) {
			t.Errorf("%s: exit code %d\n%s", key, code, out)
		}
		if hint := strings.Contains(out, "use caddy hoko explain -"); hint != strings.HasPrefix(key, "hoko_") {
			t.Errorf("%s: hint %t\n%s", key, hint, out)
		}
		if log := e.edge.Log.String(); known && strings.Contains(log, key) {
			t.Errorf("%s is in the log:\n%s", key, log)
		}
	}
}

func TestExplain_Errors(t *testing.T) {
	e := startExplained(t)
	for line, want := range map[string]string{
		"":                                       "accepts 1 arg",
		"3f0c0a52-6a3c-4f6f-9b57-5bd6e4c9d1aa":   "no such request among the rejected",
		"none":                                   "no such key",
		strings.Repeat("0", 64):                  "no such key",
		"- ":                                     "standard input",
		e.request + " --address unix//none.sock": "is the edge running?",
		e.request + " --address 127.0.0.1:1 --config x.Caddyfile": "none of the others can be",
	} {
		out, code := e.explain(t, strings.Fields(line)...)
		if code != 1 || !strings.Contains(out, want) || strings.Contains(out, "panic") {
			t.Errorf("%s: exit code %d, want %q in\n%s", line, code, want, out)
		}
	}
}
