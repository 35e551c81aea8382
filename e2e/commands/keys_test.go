package commands

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// keyCommand is a line of docs/commands.md, with a new key in place of the one that it names.
type keyCommand struct {
	verb, line string
	key, id    string
	asEdge     bool // run as the edge's role
}

var verb = regexp.MustCompile(`caddy hoko keys (\w+)`)

// prepare creates what a line needs.
func (c *keyCommand) prepare(i *installation, csv string) {
	c.verb = verb.FindStringSubmatch(c.line)[1]
	created := i.run("caddy hoko keys create --workspace acme --scopes linksRead --json", "DATABASE_URL="+i.owner)
	var parsed struct{ Key, ID string }
	testenv.NoError(i.t, json.Unmarshal([]byte(created), &parsed))
	c.key, c.id = parsed.Key, parsed.ID
	c.asEdge = c.verb == "list" || c.verb == "show" || c.verb == "revoke"
	if c.verb == "unrevoke" {
		i.run("caddy hoko keys revoke "+c.id, "DATABASE_URL="+i.owner)
	}
	c.line = strings.NewReplacer("hoko_Ab12", c.id, "keys.csv", csv).Replace(c.line)
}

func (c *keyCommand) run(i *installation) string {
	role := i.owner
	if c.asEdge {
		role = i.dsn("hoko_edge")
	}
	return i.run("echo "+c.key+" | "+c.line, "DATABASE_URL="+role)
}

func TestKeysReference_EachLineRuns(t *testing.T) {
	i := install(t)
	d := harness.Connect(t, i.owner)
	csv := filepath.Join(t.TempDir(), "imported.csv")
	testenv.NoError(t, os.WriteFile(csv, []byte(blocks(t, "docs/commands.md", "csv")[0]), 0o600))
	seen := map[string]bool{}
	for _, line := range commandsIn(t, "keys") {
		c := keyCommand{line: line}
		c.prepare(i, csv)
		out := c.run(i)
		seen[c.verb] = true
		if strings.Contains(out, c.key) {
			t.Errorf("%s prints the key", line)
		}
		condition := map[string]string{
			"revoke":   `id = $1 AND revoked_at IS NOT NULL`,
			"unrevoke": `id = $1 AND revoked_at IS NULL`,
			"update":   `id = $1 AND (name = 'billing 2' AND cardinality(scopes) = 2 OR rate_burst = 2400)`,
			"rotate":   `id = $1 AND expires_at BETWEEN now() + interval '23 h' AND now() + interval '24 h'`,
		}[c.verb]
		if condition != "" && d.Count(`SELECT count(*) FROM hoko.api_keys WHERE `+condition, c.id) != 1 {
			t.Errorf("%s has no effect: %s", line, out)
		}
		switch c.verb {
		case "create", "rotate":
			hash := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.TrimSpace(out))))
			if d.Count(`SELECT count(*) FROM hoko.api_keys WHERE key_hash = decode($1, 'hex')`, hash) != 1 {
				t.Errorf("%s prints no key: %s", line, out)
			}
		case "show", "unrevoke", "update":
			if !strings.Contains(out, c.id) || !strings.Contains(out, "valid") {
				t.Errorf("%s prints %s", line, out)
			}
		case "list":
			if unused := strings.Contains(line, "--unused-for"); unused == strings.Contains(out, "acme") {
				t.Errorf("%s prints %s", line, out)
			}
		}
	}
	for _, verb := range []string{"create", "list", "show", "update", "rotate", "revoke", "unrevoke", "import"} {
		if !seen[verb] {
			t.Errorf("the section lacks %s", verb)
		}
		changes := verb != "list" && verb != "show"
		rows := d.Count(`SELECT count(*) FROM hoko.audit WHERE command = 'keys ' || $1::text`, verb)
		if (rows > 0) != changes {
			t.Errorf("%s: %d rows in hoko.audit", verb, rows)
		}
	}
	const imported = `SELECT count(*) FROM hoko.api_keys WHERE name IN ('billing', 'reports') AND key_start = ''`
	if n := d.Count(imported); n != 2 {
		t.Errorf("%d keys were imported, want 2", n)
	}
}

// A new user with a leaked key and the edge's role must find the command by --help alone: with the
// first page of help, the command is the second.
func TestLeakedKey_FoundByHelp(t *testing.T) {
	i := install(t)
	edge := "DATABASE_URL=" + i.dsn("hoko_edge")
	help := i.run("caddy hoko --help", edge)
	command := regexp.MustCompile(`(?m)A key has leaked\?[^$]*\$ (caddy hoko keys revoke -) `).FindStringSubmatch(help)
	if command == nil {
		t.Fatalf("caddy hoko --help does not name the command:\n%s", help)
	}
	out := i.run("echo "+i.key+" | "+command[1], edge)
	d := harness.Connect(t, i.owner)
	n := d.Count(`SELECT count(*) FROM hoko.api_keys WHERE revoked_at IS NOT NULL`)
	if n != 1 || strings.Contains(out, i.key) {
		t.Errorf("%d keys are revoked: %s", n, out)
	}
	for _, page := range []string{"caddy hoko keys --help", "caddy hoko keys revoke --help"} {
		if help := i.run(page, edge); !strings.Contains(help, command[1]) {
			t.Errorf("%s does not name %s", page, command[1])
		}
	}
}
