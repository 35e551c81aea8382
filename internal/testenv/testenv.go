// Package testenv provides what tests share, above all real Postgres and Redis servers. It starts
// them on private sockets, from the binaries that script/bootstrap installs. If these are missing,
// tests fail.
//
// When the test binary ends, even by kill -9, its servers end and their files are removed. Tests of
// plugin/postgres that use this package must be in package postgres_test, because this package
// imports plugin/postgres for the schema.
package testenv

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// Main runs a package's tests, stops the shared servers, removes their files and returns the exit
// code. Call it from TestMain; without it, files are removed shortly after the test binary ends.
func Main(m *testing.M) int {
	code := m.Run()
	sharedPostgres.stop()
	scratch.remove()
	return code
}

// scratch is the directory for the servers of this test binary.
var scratch scratchDir

type scratchDir struct {
	once    sync.Once
	path    string
	remover *remover
	err     error
	servers atomic.Int64
}

// next returns an unused path for a server's directory.
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
	// Under root the servers run as another user and must reach their directories below this one.
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", nil, err
	}
	r, err := startRemover(dir)
	return dir, r, err
}

// serverDir returns a directory for a server, which is removed when the test ends.
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
