// Package harness runs the edge as its clients see it: the real binary, over real TLS, with a real
// Postgres, a real Redis and a site behind it. The packages beside it hold the tests, a theme each.
package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// HangGuard ends a test that waits for what never comes. Nothing else is asserted by it.
const HangGuard = testenv.HangGuard

// root is the top of the tree, as seen from the directory of each package of tests.
const root = "../.."

// Main builds the edge, runs a package's tests, and returns their exit code.
func Main(m *testing.M) int {
	if err := testenv.BuildEdge(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return testenv.Main(m)
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
