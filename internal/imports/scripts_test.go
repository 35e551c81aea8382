package imports

import (
	"bytes"
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
	declaration, names := regexp.MustCompile(`(?m)^func (Test\w+)\(`), []string{}
	eachFile(t, func(name string) {
		if strings.HasSuffix(name, "_test.go") {
			for _, found := range declaration.FindAllStringSubmatch(read(t, name), -1) {
				names = append(names, found[1])
			}
		}
	})
	patterns := map[string]*regexp.Regexp{
		"script/test": regexp.MustCompile(`(?m)^(?:harmless|faults)=['"](?:\$\w+\|)?([^'"]+)`),
		"script/soak": regexp.MustCompile(`(?:-run|figure \w+) '(\^?[A-Z][^']*)'`),
	}
	for script, pattern := range patterns {
		selections := pattern.FindAllStringSubmatch(read(t, script), -1)
		if len(selections) < 3 {
			t.Fatalf("%s has only %d selections", script, len(selections))
		}
		for _, selection := range selections {
			for name := range strings.SplitSeq(selection[1], "|") {
				if !slices.ContainsFunc(names, regexp.MustCompile(name).MatchString) {
					t.Errorf("%s selects %s, which no test is named", script, name)
				}
			}
		}
	}
}

func TestScripts_PrintTheirUsage(t *testing.T) {
	bin := t.TempDir() // a script that goes on after its usage finds no program to install or build with
	for _, name := range []string{"sh", "cat", "dirname"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for script, invalid := range map[string][]string{
		"bootstrap": {"--tests", "now", "--test --bench"},
		"dev":       {"--prot=1", "now", "--port=1 now"},
		"bench":     {"--quik", "sale", "--suite sale proxy"},
		"soak":      {"--onyl", "soon", "--only", "--only none"},
		"test":      {"--quik", "--quick ./plugin/sale"},
	} {
		for i, arguments := range append([]string{"--help", "-h"}, invalid...) {
			var stdout, stderr bytes.Buffer
			cmd := exec.Command(filepath.Join(root, "script", script), strings.Fields(arguments)...)
			cmd.Env, cmd.Stdout, cmd.Stderr = []string{"PATH=" + bin}, &stdout, &stderr
			cmd.Run() // fails with the exit code
			code, usage, empty := 2, stderr.String(), stdout.String()
			if i < 2 {
				code, usage, empty = 0, stdout.String(), stderr.String()
			}
			printed := strings.HasPrefix(usage, "usage: script/"+script) && empty == ""
			if !printed || cmd.ProcessState.ExitCode() != code {
				t.Errorf("script/%s %s: %s, want exit status %d; it printed\n%s%s",
					script, arguments, cmd.ProcessState, code, &stdout, &stderr)
			}
		}
	}
}

// script/bench and script/dev reject unknown flags before they install anything, so they list the
// flags of the programs that they run.
func TestScripts_KnowEveryFlag(t *testing.T) {
	declaration := regexp.MustCompile(`(?i)flags(?:\(\))?\.\w+\((?:&[\w.]+, )?"([\w-]+)"`)
	for script, source := range map[string]string{
		"script/bench": "bench/options.go", "script/dev": "caddymodule/cli/dev.go",
	} {
		flags := declaration.FindAllStringSubmatch(read(t, source), -1)
		if len(flags) == 0 {
			t.Errorf("%s declares no flag", source)
		}
		for _, flag := range flags {
			if strings.Count(read(t, script), "--"+flag[1]) < 2 { // in the usage and in the code
				t.Errorf("%s does not know --%s", script, flag[1])
			}
		}
	}
}
