package imports

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file holds one noun, and a folder one theme: what outgrows these is split.
const (
	maxLines     = 300
	maxTestLines = 400
	maxFiles     = 15 // of a package, beside its tests
)

func TestFilesAndPackagesStaySmall(t *testing.T) {
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
			t.Errorf("%s has %d lines, at most %d are meant", path, lines, limit)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, count := range files {
		if count > maxFiles && dir != filepath.Join(root, "bench") {
			t.Errorf("%s has %d files beside its tests, at most %d are meant", dir, count, maxFiles)
		}
	}
	if len(files) < 20 {
		t.Errorf("only %d packages were found", len(files))
	}
}
