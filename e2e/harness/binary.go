// Package harness runs the edge as its clients see it: the real binary, over real TLS, with a real
// Postgres, a real Redis and a site behind it. The packages beside it hold the tests, a theme each.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// HangGuard ends a test that waits for what never comes. Nothing else is asserted by it.
const HangGuard = testenv.HangGuard

// root is the top of the tree, as seen from the directory of each package of tests.
const root = "../.."

// Binary is the path of the edge under test.
var Binary string

// Main builds the edge, runs a package's tests, and returns their exit code.
func Main(m *testing.M) int {
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return testenv.Main(m)
}

// build makes bin/caddy current, as script/dev does and with the flags that xcaddy uses. All
// packages of tests share it: they build one after the other, and go build leaves a current one
// alone.
func build() error {
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	if err != nil {
		return err
	}
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
	Binary = filepath.Join(bin, "caddy")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-w -s", "-tags", "nobadger,nomysql,nopgx", "-o", Binary,
		"hoko.to/edge/cmd/caddy")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the edge: %w\n%s", err, out)
	}
	return nil
}

// ReadRoot returns the text of a file, named from the top of the tree.
func ReadRoot(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
