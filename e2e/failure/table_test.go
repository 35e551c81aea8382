package failure

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// failureRow is a row of docs/failure.md: its cells by their column.
type failureRow map[string]string

// failureTable is what those of the document's tables say that are about failures.
func failureTable(t *testing.T) (rows []failureRow) {
	t.Helper()
	var columns []string
	for line := range strings.Lines(harness.ReadRoot(t, "docs/failure.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			columns = nil
		case strings.HasPrefix(line, "|---"):
		case columns == nil:
			for _, cell := range cells {
				columns = append(columns, strings.TrimSpace(cell))
			}
		case len(cells) != len(columns):
			t.Fatalf("%d cells where there are %d columns: %s", len(cells), len(columns), line)
		default:
			row := failureRow{}
			for i, cell := range cells {
				row[columns[i]] = strings.TrimSpace(cell)
			}
			if columns[0] == "what fails" {
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// sources is the text of the tree's Go files, of tests or of what they test.
func sources(t *testing.T, tests bool) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == "node_modules" || name == ".git") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".go" && strings.HasSuffix(path, "_test.go") == tests {
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

var (
	testName   = regexp.MustCompile("`(Test\\w+)`")
	metricName = regexp.MustCompile(`hoko_\w+(\{\w+="\w+"\})?`)
	logged     = regexp.MustCompile(`"([^"]+)"`)
)

func TestEveryRowOfTheFailureTableNamesTestsThatExist(t *testing.T) {
	rows, tests := failureTable(t), sources(t, true)
	if len(rows) < 20 {
		t.Fatalf("only %d rows were read", len(rows))
	}
	for _, row := range rows {
		names := testName.FindAllStringSubmatch(row["proved by"], -1)
		if len(names) == 0 {
			t.Errorf("%q names no test", row["what fails"])
		}
		for _, name := range names {
			if !strings.Contains(tests, "\nfunc "+name[1]+"(") {
				t.Errorf("%q names %s, which does not exist", row["what fails"], name[1])
			}
		}
	}
}

func TestWhatTheFailureTableCountsAndLogsExists(t *testing.T) {
	s := startOutageStack(t, testenv.Database(t), testenv.Redis(t), nil)
	metrics, code := s.AdminGet(t, "/metrics"), sources(t, false)
	for _, row := range failureTable(t) {
		cell := row["logged and counted"]
		for _, name := range metricName.FindAllString(cell, -1) {
			if !strings.Contains(metrics, name) {
				t.Errorf("%q names %s, which is no metric", row["what fails"], name)
			}
		}
		for _, text := range logged.FindAllStringSubmatch(metricName.ReplaceAllString(cell, ""), -1) {
			if !strings.Contains(code, text[1]) {
				t.Errorf("%q names the log's %q, which nobody writes", row["what fails"], text[1])
			}
		}
	}
}
