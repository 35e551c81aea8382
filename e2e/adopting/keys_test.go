package adopting

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// The site's view computes most columns, so the commands read its keys, and change only what can be
// written: the expiry and the name. Other changes name the site's table, and leave no row behind.
func TestKeys_OverASite(t *testing.T) {
	s, _ := startAdopted(t, nil)
	csv := filepath.Join(t.TempDir(), "keys.csv")
	testenv.NoError(t, os.WriteFile(csv, []byte("key\n"+harness.FullKey+"x\n"), 0o600))
	s.DB.Exec(`UPDATE site.tokens SET active = false WHERE label = 'reads'`)
	const rows = `SELECT (SELECT string_agg(t::text, ';' ORDER BY id) FROM site.tokens t)
		|| (SELECT count(*) FROM hoko.audit)`
	before := s.DB.Text(rows)
	for _, command := range []struct{ line, want string }{
		{"list --unused-for 1ns", "1   "},
		{"list --revoked", "2   "},
		{"show 1", "valid"},
		{"create --workspace One --scopes linksRead", ""},
		{"revoke 1", ""},
		{"unrevoke 2", ""},
		{"rotate 1", ""},
		{"update 1 --scopes linksRead", ""},
		{"import --workspace One --scopes linksRead --file " + csv, ""},
	} {
		out, err := s.Caddy(t, append([]string{"hoko", "keys"},
			strings.Fields(command.line+" --database-url "+s.DSN)...)...)
		refused := strings.Contains(out, "hoko.api_keys is a view of your site's table (docs/adopting.md)")
		works := command.want != ""
		if (err == nil) != works || refused == works || !strings.Contains(out, command.want) {
			t.Errorf("%s: %v\n%s", command.line, err, out)
		}
		if after := s.DB.Text(rows); after != before {
			t.Fatalf("%s changes the site:\n%s", command.line, after)
		}
	}
	out, err := s.Caddy(t, "hoko", "keys", "update", "1", "--expires", "2090-01-02T03:04:05Z", "--database-url", s.DSN)
	if err != nil || !strings.Contains(out, "valid until 2090-01-02T03:04:05Z") || s.DB.Text(rows) == before {
		t.Errorf("a column that can be written: %v\n%s", err, out)
	}
	out, err = s.Caddy(t, "hoko", "keys", "revoke", "1")
	if err == nil || !strings.Contains(out, "view of your site") {
		t.Errorf("as the edge's role: %v\n%s", err, out)
	}
}
