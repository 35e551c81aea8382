package imports

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// The limits let a file be read beside another. A tab counts 4 columns, as does indentation.
const (
	maxColumns        = 120
	maxCommentColumns = 100
)

func TestWidth_LinesOfGoAndSQL(t *testing.T) {
	comment := map[string]string{".go": "//", ".sql": "--"}
	eachFile(t, func(name string) {
		mark, checked := comment[path.Ext(name)]
		applied := path.Dir(name) == "plugin/postgres/migrations" // they never change again
		if !checked || applied || strings.Contains(name, "node_modules/") {
			return
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		output := false // an example's output is compared as it is
		for i, line := range strings.Split(string(text), "\n") {
			limit, code := maxColumns, strings.TrimLeft(line, " \t")
			isComment := strings.HasPrefix(code, mark)
			output = isComment && (output || code == "// Output:")
			if isComment && !output {
				limit = maxCommentColumns
			}
			if n := utf8.RuneCountInString(line) + 3*strings.Count(line, "\t"); n > limit {
				t.Errorf("%s:%d has %d columns, want at most %d", name, i+1, n, limit)
			}
		}
	})
}
