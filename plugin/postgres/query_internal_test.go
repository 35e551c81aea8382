package postgres

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestStripComments(t *testing.T) {
	for _, c := range []struct{ name, sql, want string }{
		{"none", "SELECT 1", "SELECT 1"},
		{"leading", "-- a\n-- b\nSELECT 1\n", "SELECT 1"},
		{"trailing", "SELECT 1 -- a\n", "SELECT 1"},
		{"last", "SELECT 1 -- a", "SELECT 1"},
		{"between", "SELECT 1, -- a\n  -- b\n\n  2", "SELECT 1,\n  2"},
		{"apostrophe in a comment", "SELECT 1 -- the site's\n, 'a'", "SELECT 1\n, 'a'"},
		{"quote in a comment", "-- \"\nSELECT \"--\"", "SELECT \"--\""},
		{"block", "SELECT/* a */1", "SELECT 1"},
		{"block over several lines", "/*\n a\n*/\nSELECT 1", "SELECT 1"},
		{"nested block", "SELECT /* a /* b */ c */ 1", "SELECT   1"},
		{"block in a line comment", "-- /*\nSELECT 1", "SELECT 1"},
		{"line comment in a block", "/* -- */ SELECT 1", "SELECT 1"},
		{"unterminated block", "SELECT 1 /* a", "SELECT 1"},
		{"minus", "SELECT 1 - -1", "SELECT 1 - -1"},
		{"arrows", "SELECT a->'b'->>'--'", "SELECT a->'b'->>'--'"},

		{"in a literal", "SELECT '-- a', '/* b */' -- c", "SELECT '-- a', '/* b */'"},
		{"in a literal over several lines", "SELECT 'a  \n\n-- b\n'", "SELECT 'a  \n\n-- b\n'"},
		{"after a doubled quote", "SELECT 'it''s -- a' -- b", "SELECT 'it''s -- a'"},
		{"after a backslash", `SELECT '\' -- a`, `SELECT '\'`},
		{"after an escaped quote", `SELECT E'\' -- a', e'''-- b\\' -- c`, `SELECT E'\' -- a', e'''-- b\\'`},
		{"after a name that ends in e", `SELECT type'\' -- a`, `SELECT type'\'`},
		{"unterminated literal", "SELECT '-- a", "SELECT '-- a"},
		{"in an identifier", `SELECT "-- a""--b" -- c`, `SELECT "-- a""--b"`},
		{"in dollar quotes", "DO $$ -- a\n\n $1 $$ -- b", "DO $$ -- a\n\n $1 $$"},
		{"in tagged dollar quotes", "DO $a_1$ $$ -- a $a$ $a_1$ -- b", "DO $a_1$ $$ -- a $a$ $a_1$"},
		{"parameters", "SELECT $1, $2 -- a\n, $1", "SELECT $1, $2\n, $1"},
		{"several parameters", "SELECT $1+$2 -- a", "SELECT $1+$2"},
		{"dollars in a name", "SELECT a$b$ -- c", "SELECT a$b$"},
		{"one dollar", "SELECT $ -- c", "SELECT $"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := stripComments(c.sql); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestReadQuery_KeepsAllStatements(t *testing.T) {
	sql := ReadQuery(migrationFiles, "migrations/001_hoko.sql")
	if !strings.HasPrefix(sql, "CREATE TABLE hoko.workspaces") || strings.Count(sql, "CREATE TRIGGER") != 6 ||
		!strings.Contains(sql, "-- more than a notification holds") {
		t.Error(sql)
	}
}

func TestEmbeddedSQL_IsReadByReadQuery(t *testing.T) {
	asText := regexp.MustCompile(`//go:embed [^\n]*\nvar \w+ (string|\[\]byte)`)
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		source, err := os.ReadFile(path)
		if found := asText.Find(source); found != nil {
			t.Errorf("%s: %s: use ReadQuery", path, found)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func FuzzStripComments(f *testing.F) {
	for _, seed := range []string{
		"SELECT '--' -- a", "/* /* */ */ $a$ -- $a$", `E'\'' "--"`, "a$b$ e'", "$$", "-/**/-", "\xff$\xff$",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		once := stripComments(sql)
		if again := stripComments(once); again != once {
			t.Errorf("%q becomes %q, then %q", sql, once, again)
		}
		if len(once) > len(sql) {
			t.Errorf("%q grows to %q", sql, once)
		}
	})
}
