package imports

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
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
	files := map[string]int{} // by directory
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules"):
			return fs.SkipDir
		case filepath.Ext(path) != ".go":
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		limit := maxTestLines
		if !strings.HasSuffix(path, "_test.go") {
			limit = maxLines
			files[filepath.Dir(path)]++
		}
		if lines := bytes.Count(source, []byte("\n")); lines > limit {
			t.Errorf("%s has %d lines, want at most %d", path, lines, limit)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, count := range files {
		if count > maxFiles && dir != filepath.Join(root, "bench") {
			t.Errorf("%s has %d files without tests, want at most %d", dir, count, maxFiles)
		}
	}
	if len(files) < 20 {
		t.Errorf("found only %d packages", len(files))
	}
}
