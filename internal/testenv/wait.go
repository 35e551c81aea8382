package testenv

import (
	"context"
	"os"
	"testing"
	"time"
)

// HangGuard ends a test that waits for what never comes. Nothing else is asserted by it.
const HangGuard = time.Minute

// Guarded returns a context that HangGuard bounds. It outlives the test's own context, so that
// cleanups can use it.
func Guarded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), HangGuard)
	t.Cleanup(cancel)
	return ctx
}

// guarded is a context for one step of a test or its cleanup.
func guarded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 2*HangGuard)
}

// Until polls until a condition holds.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(HangGuard); !holds(); <-again.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// ShortDir returns a directory for Unix sockets, whose paths hold about a hundred bytes. It is
// removed when the test ends.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hoko-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
