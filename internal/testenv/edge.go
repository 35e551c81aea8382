package testenv

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// edge holds the path of the binary under test and of the source tree that it is built from.
var edge struct {
	path, tree string
	read       sync.Once
}

// BuildEdge builds bin/caddy as script/dev does, with the flags of xcaddy, and keeps a link to the
// binary for Edge. Test packages share the build: a file lock serializes them, and go build does
// nothing if the binary is current.
func BuildEdge() error {
	module, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("find the source tree: %w", err)
	}
	edge.tree = filepath.Dir(strings.TrimSpace(string(module)))
	bin := filepath.Join(edge.tree, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	lock, err := os.Open(bin)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", bin, err)
	}
	path := filepath.Join(bin, "caddy")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-w -s", "-tags", "nobadger,nomysql,nopgx",
		"-o", path, "hoko.to/edge/cmd/caddy")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the edge: %w\n%s", err, out)
	}
	dir, err := scratch.next()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	edge.path = filepath.Join(dir, "caddy")
	if os.Link(path, edge.path) == nil { // a later build replaces the name, not the file
		return nil
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(edge.path, binary, 0o755)
}

// Edge returns the path of the binary that BuildEdge built, or fails the test if there is none. It
// also reads the tree's directories, so that go test does not return a cached result after a change
// to the edge, which the tests do not import.
func Edge(t testing.TB) string {
	t.Helper()
	if edge.path == "" {
		t.Fatal("no edge is built: the package's TestMain must call harness.Main")
	}
	edge.read.Do(func() {
		err := filepath.WalkDir(edge.tree, func(_ string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && slices.Contains([]string{".git", "node_modules", "bin"}, entry.Name()) {
				return fs.SkipDir
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	return edge.path
}
