package backend

import (
	"log/slog"
	"testing"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/ratelimit"
)

func newLease(t *testing.T, size int) *Lease {
	t.Helper()
	l, err := NewLease(Settings{
		Postgres: postgres.Options{DSN: "postgres://hoko@127.0.0.1:1/site"},
		Keys:     apikey.Options{Size: size},
		Limits:   ratelimit.Options{URL: "redis://127.0.0.1:1"},
	}, slog.DiscardHandler)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLease_SameSettingsShareABackend(t *testing.T) {
	first, second, other := newLease(t, 100_000), newLease(t, 0), newLease(t, 1)
	if first.Backend != second.Backend || first.Backend == other.Backend {
		t.Fatal("leases do not share backends by settings")
	}
	for _, l := range []*Lease{first, second, other} {
		l.Use()
	}
	first.Release(0)
	if writers := len(second.Backend.log.configHandlers.handlers); writers != 1 {
		t.Errorf("the backend logs through %d configs, want 1", writers)
	}
	second.Release(0)
	if n := len(States()); n != 2 {
		t.Errorf("%d backends, want 2: one closed while requests may be in flight", n)
	}
	DropExpiring()
	first.Backend.running.Wait()
	if n := len(States()); n != 1 {
		t.Errorf("%d backends, want 1", n)
	}
	other.Release(0)
	DropExpiring()
	if n := len(pools.backends); n != 0 {
		t.Errorf("the pools of %d closed backends are still read", n)
	}
}
