package testenv

import (
	"context"
	"os"
	"testing"
	"time"
)

// HangGuard bounds a wait in a test. It only ends tests that hang and asserts no duration.
const HangGuard = time.Minute

// Guarded returns a context with a timeout of HangGuard. It outlives t.Context(), so cleanups can
// use it.
func Guarded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), HangGuard)
	t.Cleanup(cancel)
	return ctx
}

// stepContext returns a context with a timeout for one step of a test or of its cleanup.
func stepContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 2*HangGuard)
}

// Until calls holds every 2 ms until it returns true. After HangGuard it fails the test with what,
// which describes the condition.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(HangGuard); !holds(); <-again.C {
		if time.Now().After(end) {
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

// ShortDir returns a directory whose path is short enough for Unix sockets, which allow about 100
// bytes. It is removed when the test ends.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hoko-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
