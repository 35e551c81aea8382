// Package harness runs the edge as its clients see it: the real binary, over real TLS, with a real
// Postgres, a real Redis and a site behind it. Each sibling package tests one theme.
package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// HangGuard is the time after which a hanging test fails. Tests assert nothing else with it.
const HangGuard = testenv.HangGuard

// root is the root of the repository, relative to each package of tests.
const root = "../.."

// Main builds the edge, runs the tests of a package and returns their exit code.
func Main(m *testing.M) int {
	if err := testenv.BuildEdge(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return testenv.Main(m)
}

// ReadRoot returns the contents of a file, given its path from the root of the repository.
func ReadRoot(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	testenv.NoError(t, err)
	return string(text)
}
