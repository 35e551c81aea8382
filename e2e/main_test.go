// Package e2e sees the edge as its clients do: the real binary, over real TLS,
// with a real Postgres, a real Redis and a site behind it.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// binary is the edge under test, built once with the flags that xcaddy uses.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hoko-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "caddy")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-w -s", "-tags", "nobadger,nomysql,nopgx", "-o", binary, "hoko.to/edge/cmd/caddy")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the edge: %v\n%s", err, out)
		os.Exit(1)
	}
	code := testenv.Main(m)
	os.RemoveAll(dir)
	os.Exit(code)
}
