// Package testenv gives tests what they share: first of all a real Postgres and a real Redis, started from
// the machine's own binaries on private sockets. A machine without them fails
// the tests: script/bootstrap installs them.
//
// Servers and their files are gone when the test binary is, however it ended.
// Tests of plugin/postgres that use this package are in package postgres_test,
// as it imports that for the schema.
package testenv

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// Main runs a package's tests and returns when nothing is left of what they
// started. Without it that takes a moment longer than the test binary.
func Main(m *testing.M) int {
	code := m.Run()
	sharedPostgres.stop()
	scratch.remove()
	return code
}

// scratch is the directory of all servers of this test binary.
var scratch scratchDir

type scratchDir struct {
	once    sync.Once
	path    string
	remover *remover
	err     error
	servers atomic.Int64
}

// next is the path for one more server.
func (s *scratchDir) next() (string, error) {
	s.once.Do(func() { s.path, s.remover, s.err = makeScratch() })
	return filepath.Join(s.path, strconv.FormatInt(s.servers.Add(1), 10)), s.err
}

func (s *scratchDir) remove() {
	if s.remover != nil {
		s.remover.run()
	}
}

func makeScratch() (string, *remover, error) {
	dir, err := os.MkdirTemp("", "hoko-test-")
	if err != nil {
		return "", nil, err
	}
	// Under root the servers run as somebody else, and have to get to their own directories below.
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", nil, err
	}
	r, err := startRemover(dir)
	return dir, r, err
}

// serverDir is a directory for a test's own server, removed when the test ends.
func serverDir(t testing.TB) string {
	t.Helper()
	dir, err := scratch.next()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
