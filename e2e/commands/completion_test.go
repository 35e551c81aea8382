package commands

import (
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// Shells ask `caddy __complete`, as the script of `caddy completion` says.
func TestCompletion_OfTheBinary(t *testing.T) {
	dsn := testenv.Database(t)
	harness.Connect(t, dsn).Exec(`INSERT INTO hoko.workspaces (id, name) VALUES
		('ws_1', 'Acme'), ('ws_2', E'b\tc\nd'), ('other', ''), (E'ws_3\n', 'unprintable');
		INSERT INTO hoko.api_keys (id, workspace_id, key_hash) VALUES ('k1', 'other', sha256('1'))`)
	for _, c := range []struct{ words, want string }{
		{"hoko work|", "workspaces\tLists, creates, changes and disables workspaces\n:4"},
		{"hoko workspaces en|", "enable\tEnables a disabled workspace\n:4"},
		{"hoko workspaces disable |ws", "ws_1\tAcme\nws_2\tb\\tc\\nd\n:4"},
		{"hoko workspaces update |o", "other\n:4"},
		{"hoko workspaces enable ws_1 |", ":4"},
		{"hoko workspaces create |", ":4"},
		{"hoko limits show |", "k1\tother\n:4"},
		{"hoko limits reset k1 |", ":4"},
		{"hoko explain k|", "k1\tother\n:4"},
		{"hoko doctor --probe-key |", "k1\tother\n:4"},
		{"hoko health |", ":4"},
		{"hoko version |", ":4"},
		{"hoko dev |", ":4"},
		{"hoko migrate --config |", ":0"}, // files
		{"hoko idempotency erase --workspace |ws_1", "ws_1\tAcme\n:4"},
		{"hoko workspaces list --js|", "--json\tprint one JSON document instead of text\n:4"},
		{"hoko workspaces disable --database-url= |", ":4"},
		{"hoko workspaces disable --database-url=postgres://127.0.0.1:1/none |", ":4"},
	} {
		before, last, _ := strings.Cut(c.words, "|")
		args := append([]string{"__complete"}, strings.Fields(before)...)
		if strings.HasSuffix(before, " ") {
			args = append(args, last)
		}
		out, code := caddy(t, args, "DATABASE_URL="+dsn)
		out, _, _ = strings.Cut(out, "\nCompletion ended")
		if code != 0 || out != c.want {
			t.Errorf("%s: exit code %d: %q, want %q", c.words, code, out, c.want)
		}
	}
}

func TestCompletion_ScriptsContainTheCommands(t *testing.T) {
	for shell, want := range map[string]string{
		"bash": "_caddy_hoko_workspaces_disable()", "zsh": "__complete", "fish": "__complete",
		"powershell": "__complete",
	} {
		if out, code := caddy(t, []string{"completion", shell}); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, it lacks %s", shell, code, want)
		}
	}
}
