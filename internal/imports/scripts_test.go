package imports

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestScripts_NameExistingTests fails if a script selects tests by a name that no test has: go test
// runs nothing then, and succeeds.
func TestScripts_NameExistingTests(t *testing.T) {
	tests := namesOfTests(t)
	patterns := map[string]*regexp.Regexp{
		"script/test": regexp.MustCompile(`(?m)^(?:harmless|faults)=['"](?:\$faults\|)?([^'"]+)`),
		"script/soak": regexp.MustCompile(`(?:-run|figure \w+) '(\^?[A-Z][^']*)'`),
	}
	for script, pattern := range patterns {
		text, err := os.ReadFile(filepath.Join(root, script))
		if err != nil {
			t.Fatal(err)
		}
		selections := pattern.FindAllStringSubmatch(string(text), -1)
		if len(selections) < 3 {
			t.Fatalf("%s has only %d selections", script, len(selections))
		}
		for _, selection := range selections {
			for name := range strings.SplitSeq(selection[1], "|") {
				if !slices.ContainsFunc(tests, regexp.MustCompile(name).MatchString) {
					t.Errorf("%s selects %s, which no test is named", script, name)
				}
			}
		}
	}
}

func namesOfTests(t *testing.T) (names []string) {
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range declaration.FindAllSubmatch(source, -1) {
			names = append(names, string(found[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
