package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres/admin"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// run runs `caddy keys` with args and standard input.
func run(t *testing.T, input string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	root := &cobra.Command{Use: "caddy", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(Command())
	var out, errOut bytes.Buffer
	root.SetIn(strings.NewReader(input))
	root.SetOut(&out)
	root.SetErr(&errOut)
	root.SetArgs(args)
	err = root.ExecuteContext(testenv.Guarded(t))
	return out.String(), errOut.String(), err
}

func mustRun(t *testing.T, input string, args ...string) string {
	t.Helper()
	stdout, stderr, err := run(t, input, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", args, err, stderr)
	}
	return stdout
}

func fromJSON(t *testing.T, text string) (values map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &values); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return values
}

// database sets DATABASE_URL to a new database with the workspace acme.
func database(t *testing.T) testenv.DB {
	t.Helper()
	dsn := testenv.Database(t)
	t.Setenv("DATABASE_URL", dsn)
	d := testenv.Connect(t, dsn)
	d.Exec(`INSERT INTO hoko.workspaces (id, name) VALUES ('acme', 'Acme')`)
	return d
}

// newTestKey creates a key with flags and returns it and its ID.
func newTestKey(t *testing.T, flags ...string) (key, id string) {
	t.Helper()
	args := append([]string{"keys", "create", "--json", "--workspace=acme", "--scopes=linksRead"}, flags...)
	created := fromJSON(t, mustRun(t, "", args...))
	key, id = created["key"].(string), created["id"].(string)
	if !admin.ValidKey(key) || created["workspace_id"] == "" || created["start"] != key[:9] || len(created) != 4 {
		t.Fatalf("created %v", created)
	}
	return key, id
}

func TestKeyArgument_AllForms(t *testing.T) {
	database(t)
	key, id := newTestKey(t)
	const hint = "history of your shell"
	for name, c := range map[string]struct {
		argument, input string
		hinted          bool
	}{
		"id":             {id, "", false},
		"start":          {key[:9], "", false},
		"SHA-256":        {fmt.Sprintf("%X", sha256.Sum256([]byte(key))), "", false},
		"whole key":      {key, "", true},
		"standard input": {"-", key + "\n", false},
		"without a line": {"-", "  " + key, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, command := range []string{"show", "revoke", "unrevoke"} {
				stdout, stderr, err := run(t, c.input, "keys", command, c.argument)
				if err != nil || strings.Contains(stderr, hint) != c.hinted || !strings.Contains(stdout, id) {
					t.Errorf("%s: %v\n%s%s", command, err, stdout, stderr)
				}
				if strings.Contains(stdout+stderr, key) {
					t.Errorf("%s prints the key", command)
				}
			}
		})
	}
	for name, input := range map[string]string{"empty": "", "blank": " \n", "unknown": admin.GenerateKey()} {
		_, stderr, err := run(t, input, "keys", "revoke", "-")
		if err == nil || strings.Contains(stderr+err.Error(), "hoko_") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShow_TextAndJSON(t *testing.T) {
	d := database(t)
	key, id := newTestKey(t, "--name=billing\t", "--limit=600/1m", "--burst=1200",
		"--hostnames=example.com,*.example.org", "--expires=2090-01-02T03:04:05Z")
	d.Exec(`INSERT INTO hoko.key_usage VALUES ($1, '2026-01-02 03:04Z')`, id)
	text := mustRun(t, "", "keys", "show", id)
	for _, want := range []string{`STARTS +` + key[:9], `WORKSPACE +acme \(Acme\)`, `NAME +billing\\t`, `CREATED +2`,
		`STATE +valid until 2090-01-02T03:04:05Z`, `LAST USED +2026-01-02T03:04:00Z`, `LIMIT +600/1m burst 1200`,
		`SCOPES +linksRead`, `HOSTNAMES +example.com,\*.example.org`} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(text) {
			t.Errorf("it lacks %s:\n%s", want, text)
		}
	}
	got := mustRun(t, "", "keys", "show", id, "--json")
	created := regexp.MustCompile(`"created_at": "2[^"]+Z"`)
	want := `{
  "id": "` + id + `",
  "start": "` + key[:9] + `",
  "workspace_id": "acme",
  "workspace_name": "Acme",
  "name": "billing\t",
  "state": "valid",
  "scopes": [
    "linksRead"
  ],
  "hostnames": [
    "example.com",
    "*.example.org"
  ],
  "limit": "600/1m",
  "burst": 1200,
  "created_at": "then",
  "last_used_at": "2026-01-02T03:04:00Z",
  "expires_at": "2090-01-02T03:04:05Z",
  "revoked_at": null
}
`
	if got := created.ReplaceAllLiteralString(got, `"created_at": "then"`); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestList_TextAndJSON(t *testing.T) {
	database(t)
	if got := mustRun(t, "", "keys", "list", "--json"); got != "{\n  \"keys\": []\n}\n" {
		t.Errorf("no keys: %s", got)
	}
	_, old := newTestKey(t)
	_, revoked := newTestKey(t)
	mustRun(t, "", "keys", "revoke", revoked)
	for flags, want := range map[string][]string{
		"":                                  {old, revoked},
		"--revoked":                         {revoked},
		"--unused-for=1ns":                  {old},
		"--unused-for=1ns --workspace=Acme": {old},
		"--unused-for=90d":                  nil,
	} {
		args := append([]string{"keys", "list"}, strings.Fields(flags)...)
		text := mustRun(t, "", args...)
		list := fromJSON(t, mustRun(t, "", append(args, "--json")...))["keys"].([]any)
		if !strings.HasPrefix(text, "ID ") || strings.Count(text, "\n") != len(want)+1 || len(list) != len(want) {
			t.Errorf("%s: %v\n%s", flags, list, text)
		}
		for _, id := range want {
			if !strings.Contains(text, "\n"+id+" ") || !strings.Contains(fmt.Sprint(list), id) {
				t.Errorf("%s lacks %s", flags, id)
			}
		}
		if key := fmt.Sprint(list); strings.Contains(key, "<nil> <nil>") && !strings.Contains(key, "hostnames:[]") {
			t.Errorf("%s: %s", flags, key)
		}
	}
}

func TestRevoke_NamesTheReplacement(t *testing.T) {
	d := database(t)
	d.Exec(`INSERT INTO hoko.workspaces (id) VALUES ('it''s; $(x)')`)
	_, id := newTestKey(t, "--workspace=it's; $(x)", "--scopes=tagsRead", "--hostnames=a.example,*.b.example",
		"--limit=5/1s", "--burst=7", "--expires=2090-01-02T03:04:05Z")
	_, stderr, err := run(t, "", "keys", "revoke", id)
	const want = `caddy hoko keys create --workspace 'it'\''s; $(x)' --scopes 'linksRead,tagsRead' ` +
		`--hostnames 'a.example,*.b.example' --limit '5/1s' --burst '7' --expires '2090-01-02T03:04:05Z'`
	if err != nil || !strings.Contains(stderr, want) || !strings.Contains(stderr, "within a second") {
		t.Errorf("%v\n%s", err, stderr)
	}
	got := fromJSON(t, mustRun(t, "", "keys", "revoke", id, "--json"))
	if got["state"] != "revoked" || got["id"] != id {
		t.Errorf("got %v", got)
	}
	if got := fromJSON(t, mustRun(t, "", "keys", "unrevoke", id, "--json")); got["state"] != "valid" {
		t.Errorf("got %v", got)
	}
}

// RFC 3339 ends with the year 9999; SQL may have stored a later one.
func TestList_FarFutureAsJSON(t *testing.T) {
	d := database(t)
	_, id := newTestKey(t)
	d.Exec(`UPDATE hoko.api_keys SET expires_at = '20000-01-01Z'`)
	got := fromJSON(t, mustRun(t, "", "keys", "show", id, "--json"))
	if got["state"] != "valid" || got["expires_at"] != "9999-12-31T23:59:59Z" {
		t.Errorf("got %v", got)
	}
}

func TestUpdate_ClearsSettings(t *testing.T) {
	database(t)
	_, id := newTestKey(t, "--name=x", "--limit=5/1s", "--expires=1h", "--hostnames=a.example")
	got := fromJSON(t, mustRun(t, "", "keys", "update", id, "--json", "--name=", "--limit=none", "--expires=never",
		"--hostnames=any", "--scopes=tagsRead,linksRead"))
	if got["name"] != "" || got["limit"] != nil || got["burst"] != nil || got["expires_at"] != nil ||
		len(got["hostnames"].([]any)) != 0 || fmt.Sprint(got["scopes"]) != "[tagsRead linksRead]" {
		t.Errorf("got %v", got)
	}
	if got := mustRun(t, "", "keys", "update", id, "--limit=10/1h"); !strings.Contains(got, "10/1h\n") {
		t.Errorf("it printed\n%s", got)
	}
	if got := mustRun(t, "", "keys", "update", id, "--burst=20"); !strings.Contains(got, "10/1h burst 20\n") {
		t.Errorf("it printed\n%s", got)
	}
}

func TestRotate_PrintsTheNewKey(t *testing.T) {
	database(t)
	old, id := newTestKey(t, "--name=billing")
	stdout, stderr, err := run(t, old, "keys", "rotate", "-", "--grace=2d")
	if key := strings.TrimSpace(stdout); err != nil || !admin.ValidKey(key) || key == old {
		t.Fatalf("%v: %s", err, stdout)
	}
	until := time.Now().Add(48 * time.Hour).UTC().Format("2006-01-02T")
	if !strings.Contains(stderr, id+" ("+old[:9]+") expires at "+until) || strings.Contains(stderr, old) {
		t.Errorf("it printed %s", stderr)
	}
	next := fromJSON(t, mustRun(t, stdout, "keys", "rotate", "-", "--grace=0", "--json"))
	before := next["old"].(map[string]any)
	if !admin.ValidKey(next["key"].(string)) || before["state"] != "expired" || before["name"] != "billing" {
		t.Errorf("got %v", next)
	}
}

func TestKeys_InvalidFlagsFail(t *testing.T) {
	database(t)
	_, id := newTestKey(t)
	for command, want := range map[string]string{
		"update " + id:                                            "at least one of the flags",
		"update " + id + " --burst=0":                             "--burst must be 1 or more",
		"update " + id + " --burst=5":                             "a burst needs a limit",
		"update " + id + " --limit=":                              "--limit",
		"update " + id + " --limit=none --burst=5":                "--burst needs a --limit",
		"update " + id + " --expires=":                            "--expires must be",
		"update " + id + " --expires=-1h":                         "in the past",
		"update " + id + " --hostnames=":                          "--hostnames is empty",
		"update " + id + " --scopes=":                             "without scopes",
		"update none --name=x":                                    "no such key",
		"rotate " + id + " --grace=-1s":                           "--grace must be",
		"rotate " + id + " --grace=x":                             "--grace must be",
		"unrevoke " + id:                                          "is not revoked",
		"list --unused-for=x":                                     "--unused-for must be",
		"list --unused-for=0":                                     "--unused-for must be",
		"list --unused-for=":                                      "--unused-for is empty",
		"list --workspace=":                                       "--workspace is empty",
		"import --file=":                                          "--file is empty",
		"create --workspace=acme --scopes=linksRead --hostnames=": "--hostnames is empty",
		"create --workspace=acme --scopes=linksRead --hostnames=any,a.example": "either any, or names",
		"list --revoked --unused-for=1d":                                       "none of the others can be",
		"import --file=/none":                                                  "--file: open /none",
		"import --workspace=acme":                                              "the input is empty",
		"show a b":                                                             "give one key",
	} {
		if _, _, err := run(t, "", append([]string{"keys"}, strings.Split(command, " ")...)...); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", command, err, want)
		}
	}
}

func TestParseExpiry_TimeOrDuration(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"never":                {},
		"36h":                  now.Add(36 * time.Hour),
		"2d":                   now.Add(48 * time.Hour),
		"2031-01-31T00:00:00Z": time.Date(2031, 1, 31, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := parseExpiry(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %s %v", text, got, err)
		}
	}
}

func TestState_NamesWhyAKeyIsRejected(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	before, after := now.Add(-time.Hour), now.Add(time.Hour)
	for want, key := range map[string]admin.KeyInfo{
		"valid":                            {Limit: limit.Limit{}},
		"valid until 2030-01-01T01:00:00Z": {ExpiresAt: after},
		"expired 2029-12-31T23:00:00Z":     {ExpiresAt: before, WorkspaceDisabled: true},
		"revoked 2029-12-31T23:00:00Z":     {RevokedAt: before, ExpiresAt: before, WorkspaceDisabled: true},
		"workspace disabled":               {ExpiresAt: after, WorkspaceDisabled: true},
	} {
		state, _ := stateOf(key, now)
		if got := stateText(key, state); got != want {
			t.Errorf("%+v is %q, want %q", key, got, want)
		}
	}
}
