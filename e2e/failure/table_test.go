package failure

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// failureRow is a row of docs/failure.md.
type failureRow struct{ id, logged string }

// failureTable returns the rows of the tables in docs/failure.md that have ids.
func failureTable(t *testing.T) (rows []failureRow) {
	t.Helper()
	for line := range strings.Lines(harness.ReadRoot(t, "docs/failure.md")) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			t.Fatalf("%d cells, want 5: %s", len(cells), line)
		}
		rows = append(rows, failureRow{id: strings.Trim(cells[0], " `"), logged: cells[3]})
	}
	if len(rows) < 20 {
		t.Fatalf("only %d rows were read", len(rows))
	}
	return rows
}

// sources returns the text of the tree's Go files: the tests, or all others.
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
	testenv.NoError(t, err)
	return all.String()
}

var (
	metricName = regexp.MustCompile(`hoko_\w+(?:\{\w+="\w+"\})?|\{\w+="\w+"\}`)
	logged     = regexp.MustCompile(`"([^"]+)"`)
)

func TestFailureTable_EachRowIsProved(t *testing.T) {
	tests, unused := sources(t, true), maps.Clone(proofs)
	for _, row := range failureTable(t) {
		if len(unused[row.id]) == 0 {
			t.Errorf("row %s lacks its own proofs", row.id)
		}
		delete(unused, row.id)
	}
	for id := range unused {
		t.Errorf("proofs name row %s, which docs/failure.md does not have", id)
	}
	for id, names := range proofs {
		for _, name := range names {
			if !strings.Contains(tests, "\nfunc "+name+"(") {
				t.Errorf("row %s is proved by %s, which does not exist", id, name)
			}
		}
	}
}

func TestFailureTable_LogsAndMetricsExist(t *testing.T) {
	s := startOutageStack(t, testenv.Database(t), testenv.Redis(t), nil)
	metrics, code := s.AdminGet(t, "/metrics"), sources(t, false)
	for _, row := range failureTable(t) {
		for _, name := range metricName.FindAllString(row.logged, -1) {
			if !strings.Contains(metrics, name) {
				t.Errorf("row %s names %s, which is not a metric", row.id, name)
			}
		}
		for _, text := range logged.FindAllStringSubmatch(metricName.ReplaceAllString(row.logged, ""), -1) {
			if !strings.Contains(code, text[1]) {
				t.Errorf("row %s quotes %q, which is never logged", row.id, text[1])
			}
		}
	}
}
