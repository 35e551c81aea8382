package cli

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var (
	// withoutDatabase lists the commands that ask a running edge, or only this binary.
	withoutDatabase = []string{"health", "version", "dev", "explain", "limits show", "limits reset"}
	// withoutData lists the commands that print no data.
	withoutData = []string{"dev"}
)

// leaves returns the commands that do something, by their names after `caddy hoko`.
func leaves(t *testing.T) map[string]*cobra.Command {
	t.Helper()
	ours, found := &cobra.Command{Use: "hoko"}, map[string]*cobra.Command{}
	(&cobra.Command{Use: "caddy"}).AddCommand(ours)
	addCommands(ours)
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
		if !cmd.HasSubCommands() {
			found[strings.TrimPrefix(cmd.CommandPath(), "caddy hoko ")] = cmd
		}
	}
	visit(ours)
	if len(found) < 10 {
		t.Fatalf("found only %d commands", len(found))
	}
	return found
}

func TestCommands_HaveTheSameFlags(t *testing.T) {
	for name, cmd := range leaves(t) {
		flags := cmd.Flags()
		if json := flags.Lookup("json"); (json == nil) != slices.Contains(withoutData, name) {
			t.Errorf("%s: --json is %v", name, json)
		}
		for flag, shorthand := range map[string]string{
			"database-url": "", "database-url-file": "", "config": "c", "adapter": "a",
		} {
			found := flags.Lookup(flag)
			if slices.Contains(withoutDatabase, name) {
				if strings.HasPrefix(flag, "database") && found != nil {
					t.Errorf("%s has --%s, but is not expected to use a database", name, flag)
				}
				continue
			}
			if found == nil || found.Value.Type() != "string" || found.Shorthand != shorthand {
				t.Errorf("%s: --%s is %+v", name, flag, found)
			}
		}
	}
}

var (
	verb        = regexp.MustCompile(`^[A-Z][a-z]+s\b.*[^.]$`)
	exampleLine = regexp.MustCompile(`(?m)^.*\bcaddy hoko .*$`)
	exampleFlag = regexp.MustCompile(`\s--([a-z-]+)`)
)

func TestCommands_HelpFollowsOneStyle(t *testing.T) {
	for name, cmd := range leaves(t) {
		if group := cmd.Parent(); !verb.MatchString(cmd.Short) || group.Short != "" && !verb.MatchString(group.Short) {
			t.Errorf("%s: %q does not begin with a verb such as Lists, or ends with a period", name, cmd.Short)
		}
		if text := strings.TrimSpace(cmd.Long); text == "" || !strings.HasSuffix(text, ".") {
			t.Errorf("%s: the description %q is no sentence", name, cmd.Long)
		}
		examples := exampleLine.FindAllString(strings.ReplaceAll(cmd.Example, "\\\n", ""), -1)
		if len(examples) == 0 || !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s has no example: %q", name, cmd.Example)
		}
		for _, example := range examples {
			_, args, _ := strings.Cut(example, "caddy hoko ")
			found, _, err := cmd.Parent().Root().Find(append([]string{"hoko"}, strings.Fields(args)...))
			if err != nil || found.HasSubCommands() {
				t.Errorf("%s: the example %q names no command: %v", name, example, err)
				continue
			}
			for _, flag := range exampleFlag.FindAllStringSubmatch(args, -1) {
				if found.Flags().Lookup(flag[1]) == nil {
					t.Errorf("%s: the example %q has the unknown flag --%s", name, example, flag[1])
				}
			}
		}
	}
}

func TestCommands_AreInTheReference(t *testing.T) {
	page, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n## All commands\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for name := range leaves(t) {
		if !regexp.MustCompile("(?m)^\\| `" + name + "\\b[^`]*` \\| \\S").MatchString(table) {
			t.Errorf("the table of docs/commands.md lacks %s", name)
		}
	}
}
