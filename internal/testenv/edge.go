package testenv

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// BuildEdge makes bin/caddy current, as script/dev does and with the flags that xcaddy uses, and
// returns its path. All packages of tests share it: they build one after the other, and go build
// leaves a current binary alone.
func BuildEdge() (path string, err error) {
	module, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the tree: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(module)))
	if err := dependOn(root); err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	lock, err := os.Open(bin)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", bin, err)
	}
	path = filepath.Join(bin, "caddy")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-w -s", "-tags", "nobadger,nomysql,nopgx", "-o", path, "hoko.to/edge/cmd/caddy")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the edge: %w\n%s", err, out)
	}
	return path, nil
}

// dependOn reads the tree's directories, so that they are inputs of the test binary: go test would
// else answer from its cache although the edge has changed, which the tests do not import.
func dependOn(root string) error {
	return filepath.WalkDir(root, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && slices.Contains([]string{".git", "node_modules", "bin"}, entry.Name()) {
			return fs.SkipDir
		}
		return err
	})
}
