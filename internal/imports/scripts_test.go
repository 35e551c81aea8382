package imports

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
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

func TestScripts_PrintTheirUsage(t *testing.T) {
	bin := t.TempDir() // so that a script that goes on after its usage finds nothing to install or build with
	for _, name := range []string{"sh", "cat", "dirname"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for script, wrong := range map[string][]string{
		"bootstrap": {"--tests", "now", "--test --bench"},
		"dev":       {"--prot=1", "now", "--port=1 now"},
		"bench":     {"--quik", "sale", "--suite sale proxy"},
		"soak":      {"--onyl", "soon", "--only", "--only none"},
		"test":      {"--quik", "--quick ./plugin/sale"},
	} {
		for _, arguments := range append([]string{"--help", "-h"}, wrong...) {
			var stdout, stderr bytes.Buffer
			cmd := exec.Command(filepath.Join(root, "script", script), strings.Fields(arguments)...)
			cmd.Env, cmd.Stdout, cmd.Stderr = []string{"PATH=" + bin}, &stdout, &stderr
			cmd.Run() // fails with the exit code
			code, printed, other := 2, &stderr, &stdout
			if slices.Contains([]string{"--help", "-h"}, arguments) {
				code, printed, other = 0, &stdout, &stderr
			}
			if cmd.ProcessState.ExitCode() != code || !strings.HasPrefix(printed.String(), "usage: script/"+script) || other.Len() > 0 {
				t.Errorf("script/%s %s: %s, want exit status %d; it prints\n%s%s", script, arguments, cmd.ProcessState, code, &stdout, &stderr)
			}
		}
	}
}

// Unknown flags must not install anything, so script/bench and script/dev repeat the known ones.
func TestScripts_KnowEveryFlag(t *testing.T) {
	declaration := regexp.MustCompile(`(?i)flags(?:\(\))?\.\w+\((?:&[\w.]+, )?"([\w-]+)"`)
	for script, source := range map[string]string{"bench": "bench/options.go", "dev": "caddymodule/cli/dev.go"} {
		text, err := os.ReadFile(filepath.Join(root, "script", script))
		if err != nil {
			t.Fatal(err)
		}
		code, err := os.ReadFile(filepath.Join(root, source))
		if err != nil {
			t.Fatal(err)
		}
		flags := declaration.FindAllSubmatch(code, -1)
		if len(flags) == 0 {
			t.Errorf("%s declares no flag", source)
		}
		for _, flag := range flags {
			if n := bytes.Count(text, append([]byte("--"), flag[1]...)); n < 2 {
				t.Errorf("script/%s does not know --%s", script, flag[1])
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
