package keys

import (
	"strings"
	"testing"

	"hoko.to/edge/caddymodule/cli/command"
)

// completions returns what a shell offers, without the directive.
func completions(t *testing.T, args ...string) (offered []string, stderr string) {
	t.Helper()
	stdout, stderr, err := run(t, "", append([]string{"__complete"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	const note = "Completion ended with directive: ShellCompDirectiveNoFileComp\n"
	return lines[:len(lines)-1], strings.ReplaceAll(stderr, note, "")
}

func TestCompletion_Scopes(t *testing.T) {
	for text, want := range map[string]string{
		"conv":                            "conversionsWrite",
		"linksRead,conv":                  "linksRead,conversionsWrite",
		"linksRead,links":                 "linksRead,linksWrite",
		"linksRead,tagsRead,customersRea": "linksRead,tagsRead,customersRead",
		"none":                            "",
	} {
		offered, _ := completions(t, "keys", "create", "--scopes", text)
		if got := strings.Join(offered, " "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestCompletion_FromTheDatabase(t *testing.T) {
	d := database(t)
	d.Exec(`INSERT INTO hoko.workspaces (id, name) VALUES ('acme2', E'Two\x07'), ('other', '');
		INSERT INTO hoko.api_keys (id, workspace_id, key_hash, key_start, name, revoked_at) VALUES
		('k1', 'acme', sha256('1'), 'hoko_1', E'bil\tling', NULL), ('k2', 'acme2', sha256('2'), '', '', now())`)
	for args, want := range map[string][]string{
		"show k1":                 {"k1\thoko_1 acme (Acme) bil\\tling"},
		"revoke k":                {"k1\thoko_1 acme (Acme) bil\\tling", "k2\tacme2 (Two\\a)"},
		"unrevoke ":               {"k2\tacme2 (Two\\a)"},
		"rotate x":                nil,
		"show k1 ":                nil,
		"create --workspace acme": {"acme\tAcme", "acme2\tTwo\\a"},
		"list --workspace o":      {"other"},
	} {
		offered, stderr := completions(t, append([]string{"keys"}, strings.Split(args, " ")...)...)
		if len(offered) != len(want) || stderr != "" {
			t.Errorf("%s: %q, want %q; stderr %q", args, offered, want, stderr)
			continue
		}
		for _, w := range want {
			if !strings.Contains("\n"+strings.Join(offered, "\n")+"\n", "\n"+w+"\n") {
				t.Errorf("%s: %q, want %q", args, offered, want)
			}
		}
	}
	d.Exec(`INSERT INTO hoko.api_keys (workspace_id, key_hash) SELECT 'acme', sha256(i::text::bytea)
		FROM generate_series(3, 400) i`)
	if offered, _ := completions(t, "keys", "show", ""); len(offered) != command.MaxCompletions {
		t.Errorf("%d completions, want %d", len(offered), command.MaxCompletions)
	}
}

func TestCompletion_ErrorsAreSilent(t *testing.T) {
	for name, dsn := range map[string]string{
		"none": "", "malformed": "mysql://x", "unreachable": "postgres://hoko@127.0.0.1:1/site",
	} {
		t.Setenv("DATABASE_URL", dsn)
		offered, stderr := completions(t, "keys", "show", "")
		if len(offered) > 0 || stderr != "" {
			t.Errorf("%s: %q, stderr %q", name, offered, stderr)
		}
	}
}
