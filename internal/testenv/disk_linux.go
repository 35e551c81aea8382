package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// SmallDisk mounts a file system of the given size in bytes until the test ends and returns its
// directory, which the server's user owns, as a tablespace requires. ok is false if the process may
// not mount.
func (s *OwnPostgres) SmallDisk(t testing.TB, bytes int) (dir string, ok bool) {
	t.Helper()
	dir = filepath.Join(s.options.Dir, "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	data, err := os.Stat(filepath.Join(s.options.Dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	owner := data.Sys().(*syscall.Stat_t)
	options := fmt.Sprintf("size=%d,mode=700,uid=%d,gid=%d", bytes, owner.Uid, owner.Gid)
	err = syscall.Mount("tmpfs", dir, "tmpfs", 0, options)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return "", false
	}
	if err != nil {
		t.Fatalf("mount %s: %v", dir, err)
	}
	t.Cleanup(func() {
		s.Stop()
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir, true
}
