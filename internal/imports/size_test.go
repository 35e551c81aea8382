package imports

import (
	"path"
	"strings"
	"testing"
)

// The limits keep a file to one type or task and a package to one theme.
const (
	maxLines     = 300
	maxTestLines = 400
	maxFiles     = 15 // of a package, without tests
)

func TestSize_FilesAndPackages(t *testing.T) {
	packages := map[string]int{} // files without tests, by directory
	eachFile(t, func(name string) {
		if path.Ext(name) != ".go" {
			return
		}
		limit := maxTestLines
		if !strings.HasSuffix(name, "_test.go") {
			limit = maxLines
			packages[path.Dir(name)]++
		}
		if lines := strings.Count(read(t, name), "\n"); lines > limit {
			t.Errorf("%s has %d lines, want at most %d", name, lines, limit)
		}
	})
	for dir, files := range packages {
		if files > maxFiles && dir != "bench" {
			t.Errorf("%s has %d files without tests, want at most %d", dir, files, maxFiles)
		}
	}
	if len(packages) < 20 {
		t.Errorf("found only %d packages", len(packages))
	}
}
