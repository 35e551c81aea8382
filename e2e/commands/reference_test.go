package commands

import (
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

// section returns the text below a heading of docs/commands.md, up to the next one of its level.
func section(t testing.TB, heading string) string {
	t.Helper()
	_, text, found := strings.Cut(harness.ReadRoot(t, "docs/commands.md"), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/commands.md has no section %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// commandsIn returns the lines of the bash blocks of a section, in order. A line that ends with \
// is joined with the next one.
func commandsIn(t testing.TB, heading string) (lines []string) {
	t.Helper()
	fenced := regexp.MustCompile("(?ms)^```bash\n(.*?)^```$")
	for _, block := range fenced.FindAllStringSubmatch(section(t, heading), -1) {
		joined := strings.ReplaceAll(block[1], "\\\n", "")
		lines = append(lines, strings.Split(strings.TrimSpace(joined), "\n")...)
	}
	if len(lines) == 0 {
		t.Fatalf("the section %q of docs/commands.md has no commands", heading)
	}
	return lines
}
