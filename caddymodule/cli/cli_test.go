package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/admin"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// hoko runs `caddy hoko` with args.
func hoko(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	root, ours := &cobra.Command{Use: "caddy", SilenceUsage: true}, &cobra.Command{Use: "hoko"}
	root.AddCommand(ours)
	addCommands(ours)
	var out, errOut bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errOut)
	root.SetArgs(append([]string{"hoko"}, args...))
	err = root.ExecuteContext(t.Context())
	return out.String(), errOut.String(), err
}

func mustHoko(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, err := hoko(t, args...)
	if err != nil {
		t.Fatalf("caddy hoko %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return stdout
}

// database returns the DSN of a database in which sql has run, and sets DATABASE_URL to it.
func database(t *testing.T, sql string) (dsn string) {
	t.Helper()
	dsn = testenv.Database(t)
	testenv.Connect(t, dsn).Exec(sql)
	t.Setenv("DATABASE_URL", dsn)
	return dsn
}

func TestMigrate_CreatesTheSchema(t *testing.T) {
	dsn := testenv.EmptyDatabase(t)
	t.Setenv("DATABASE_URL", dsn)
	if got := mustHoko(t, "migrate", "--status"); !strings.Contains(got, "there is no schema hoko yet") {
		t.Errorf("status %q", got)
	}
	for range 2 {
		if got := mustHoko(t, "migrate"); !strings.Contains(got, "as this edge needs") {
			t.Errorf("it printed %q", got)
		}
	}
	if got := mustHoko(t, "migrate", "--status"); !strings.Contains(got, "as this edge needs") {
		t.Errorf("status %q", got)
	}
}

func TestKeys_CreateListRevoke(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	flag := "--database-url=" + testenv.Database(t)
	key := strings.TrimSpace(mustHoko(t, "keys", "create", flag, "--workspace", "Acme", "--create-workspace",
		"--name", "billing", "--scopes", "conversionsWrite,linksRead", "--hostnames", "example.com",
		"--limit", "10/1s", "--burst", "5", "--expires", "90d"))
	if !admin.ValidKey(key) {
		t.Fatalf("it printed %q", key)
	}
	list := mustHoko(t, "keys", "list", flag, "--workspace", "Acme")
	for _, want := range []string{
		key[:9], "billing", "valid until", "10/1s burst 5", "conversionsWrite,linksRead", "example.com",
	} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %s:\n%s", want, list)
		}
	}
	if strings.Contains(list, key) {
		t.Error("the list shows the key")
	}
	got := mustHoko(t, "keys", "revoke", flag, key)
	if !strings.Contains(got, "was revoked at") || strings.Contains(got, key) {
		t.Errorf("it printed %q", got)
	}
	if list := mustHoko(t, "keys", "list", flag); !strings.Contains(list, "revoked 2") {
		t.Errorf("the list does not show that the key is revoked:\n%s", list)
	}
}

func TestCommand_InvalidFails(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	dsn := "--database-url=postgres://hoko@127.0.0.1:1/site"
	for command, want := range map[string]string{
		"migrate":                                    "no database: set DATABASE_URL",
		"migrate now " + dsn:                         "unknown command",
		"keys list":                                  "no database: set DATABASE_URL",
		"keys revoke " + dsn:                         "give one key",
		"keys create " + dsn:                         "a key belongs to a workspace",
		"keys create --workspace=a " + dsn:           "a key without scopes allows nothing",
		"keys create --burst=5 " + dsn:               "--burst needs a --limit",
		"keys create --limit=5 " + dsn:               "want RATE/PERIOD",
		"keys create --limit=5/1m --burst=-1 " + dsn: "burst must be",
		"keys create --expires=soon " + dsn:          "--expires must be a time",
		"idempotency clean --older-than=6d " + dsn:   "the API promises",
		"idempotency clean --older-than=old " + dsn:  "must be a duration such as 8d",
		"idempotency erase --workspace=a " + dsn:     "name the workspace and the customer",
		"doctor":                                     "the edge would not work",
		"doctr":                                      "did you mean doctor?",
		"doctr --redis-url=redis://127.0.0.1:1":      "did you mean doctor?",
		"keys revok x":                               "did you mean revoke?",
		"keys revok x " + dsn:                        "did you mean revoke?",
		"idempotency cleen":                          "did you mean clean?",
		"keyz list":                                  "did you mean keys?",
		"keys frobnicate":                            "--help for the commands",
		"keys --workspace=a":                         "unknown flag: --workspace",
		"keys list --worksp=a " + dsn:                "unknown flag: --worksp",
		"--port=1":                                   "unknown flag: --port",
	} {
		if _, _, err := hoko(t, strings.Fields(command)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("caddy hoko %s: %v, want %s", command, err, want)
		}
	}
}

func TestCommandGroup_PrintsHelp(t *testing.T) {
	for command, want := range map[string]string{"": "doctor", "keys": "revoke", "idempotency": "erase"} {
		got := mustHoko(t, strings.Fields(command)...)
		if !strings.Contains(got, "Available Commands:") || !strings.Contains(got, want) {
			t.Errorf("caddy hoko %s prints\n%s", command, got)
		}
	}
}

func TestIdempotency_CleanAndErase(t *testing.T) {
	database(t, `INSERT INTO hoko.workspaces (id, name) VALUES ('ws_9', 'Nine');
		INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response, created_at)
		SELECT 'ws_9', age, '', gen_random_uuid(),
			'{"customer": {"externalId": "person", "name": "Ada"}, "sale": {"metadata": null}}', now() - age::interval
		FROM unnest('{1 day,9 days}'::text[]) age`)
	if got := mustHoko(t, "idempotency", "clean"); got != "deleted 1 idempotency keys older than 8d\n" {
		t.Errorf("it printed %q", got)
	}
	got := mustHoko(t, "idempotency", "erase", "--workspace", "Nine", "--customer", "person")
	if got != "erased the customer from 1 stored answers\n" {
		t.Errorf("it printed %q", got)
	}
}

// The schema may be older: then the keys are deleted all the same, and the command says so.
func TestIdempotency_CleanIsNotRecorded(t *testing.T) {
	database(t, `INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response, created_at)
		VALUES ('w', 'k', '', gen_random_uuid(), '{}', now() - interval '9 days');
		DROP TABLE hoko.maintenance; UPDATE hoko.schema_version SET version = 2`)
	out, _, err := hoko(t, "idempotency", "clean")
	if out != "deleted 1 idempotency keys older than 8d\n" {
		t.Errorf("it printed %q", out)
	}
	if err == nil || !strings.Contains(err.Error(), "the clean-up is complete, but its time could not be recorded") ||
		!strings.Contains(err.Error(), "run: caddy hoko migrate") {
		t.Error(err)
	}
}
