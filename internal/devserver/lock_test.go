package devserver

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestLock_HasOneHolder(t *testing.T) {
	dir := t.TempDir()
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(dir)
	if locked, ok := errors.AsType[*LockedError](err); !ok || locked.PID != os.Getpid() || locked.Dir != dir {
		t.Fatalf("a second holder got %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Lock(dir)
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	again.Close()
}

func TestLock_MissingDirectory(t *testing.T) {
	if _, err := Lock(filepath.Join(t.TempDir(), "missing")); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}
