package backend

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/ratelimit"
)

// Behind a PgBouncer in transaction mode, it is the same: Postgres answers, but delivers nothing.
func TestDown_ListenerThatReceivesNothing(t *testing.T) {
	l, err := NewLease(Settings{
		Postgres: postgres.Options{DSN: testenv.Database(t), ListenDSN: testenv.Database(t)},
		Limits:   ratelimit.Options{URL: testenv.Redis(t), Timeout: time.Minute},
	}, slog.DiscardHandler)
	testenv.NoError(t, err)
	defer DropExpiring()
	defer l.Release(0)
	l.Activate()
	testenv.Until(t, "the listener is down", func() bool {
		return slices.Equal(l.Backend.Down(), []string{"listener"})
	})
}

func TestActive_FollowsTheConfigThatRuns(t *testing.T) {
	first, second, failed := newLease(t, 1), newLease(t, 1), newLease(t, 2)
	defer DropExpiring()
	first.Activate()
	failed.Release(0)
	if Active() != first.Backend {
		t.Error("a config that failed to start changes the active backend")
	}
	late := newLease(t, 2)
	late.Activate() // as if Caddy then cannot set up its remote admin endpoint
	late.Release(0)
	if Active() != first.Backend {
		t.Error("a config that fails after it has started leaves no backend active")
	}
	second.Activate()
	first.Release(0)
	if Active() != second.Backend {
		t.Error("the end of the old config deactivates the backend of the new one")
	}
	second.Release(0)
	if Active() != nil {
		t.Error("a backend is active without a config")
	}
}

func TestThrottledCheck_OnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c throttledCheck
		calls := 0
		down := func() error { calls++; return errors.New("down") }
		for range 1000 {
			if !c.failed(down) {
				t.Error("not failed")
			}
		}
		time.Sleep(checkInterval - time.Nanosecond)
		if !c.failed(down) || calls != 1 {
			t.Errorf("%d checks within a second", calls)
		}
		time.Sleep(time.Nanosecond)
		if c.failed(func() error { return nil }) {
			t.Error("not checked again")
		}
	})
}

func TestThrottledCheck_SharedByConcurrentCallers(t *testing.T) {
	var c throttledCheck
	var calls atomic.Int32
	release := make(chan struct{})
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() { c.failed(func() error { calls.Add(1); <-release; return nil }) })
	}
	testenv.Until(t, "a check runs", func() bool { return calls.Load() > 0 })
	close(release)
	callers.Wait()
	if n := calls.Load(); n != 1 {
		t.Errorf("%d checks", n)
	}
}
