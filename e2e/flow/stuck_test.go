package flow

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hoko.to/edge/internal/relay"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

// stopBackend stops a backend of the edge just before it commits, until release is called or the
// test ends. It then holds its rows, but no internal lock of Postgres that would block all others.
func (s *shop) stopBackend() (release func()) {
	s.t.Helper()
	var pid int
	testenv.Until(s.t, "a writer's backend is stopped while it commits", func() bool {
		pid = s.db.Count(`SELECT coalesce((SELECT pid FROM pg_stat_activity
			WHERE application_name LIKE 'edge-%' AND datname = current_database()
			AND wait_event = 'PgSleep' LIMIT 1), 0)`)
		return pid != 0 && syscall.Kill(pid, syscall.SIGSTOP) == nil
	})
	release = func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	s.t.Cleanup(release)
	return release
}

func TestStuckBackend_BlocksOnlyItsOwnSales(t *testing.T) {
	// With few clients, one batch as large as shipped would hold most of their sales.
	batch := choose(16, 64)
	s := openShop(t, 1, fmt.Sprintf("batch %d\n%s", batch, choose("timeout 4s", "timeout 10s")))
	s.commitsTake(choose(100*time.Millisecond, 2*time.Millisecond))
	l, normal := s.startNormal(choose(64, 256))
	release := s.stopBackend()
	stopped := time.Now()
	seconds := choose(3, 9)
	<-time.After(time.Duration(seconds) * time.Second)
	release()
	for i := range seconds {
		from := stopped.Add(time.Duration(i) * time.Second)
		wantAtLeast(t, "a second with a stopped backend", l.between(from, from.Add(time.Second)), normal, 0.5)
	}
	l.end()
	// Each client has one sale in flight, and no two clients share a customer.
	if n := l.slower(time.Duration(seconds) * time.Second / 2); n == 0 || n > batch {
		t.Errorf("%d sales waited for the stopped backend, which held at most %d", n, batch)
	}
	s.wantNoDuplicates(l)
}

// wantNoDuplicates checks that each sale that was answered 201 is recorded, and that no other row
// exists except for unknown outcomes.
func (s *shop) wantNoDuplicates(loads ...*load) {
	s.t.Helper()
	answered, unknown := 0, 0
	for _, l := range loads {
		all := l.between(time.Time{}, time.Now())
		answered += all.statuses[201]
		unknown += all.statuses[504] + all.statuses[0]
	}
	if rows := s.db.Sales(); rows < answered || rows > answered+unknown {
		s.t.Errorf("%d rows, but %d sales were answered 201 and %d have an unknown outcome", rows, answered, unknown)
	}
}

func TestPostgresFrozen_SalesFlowAgain(t *testing.T) {
	server := testenv.Postgres(t)
	dsn := server.DSN("postgres")
	testenv.NoError(t, postgres.Migrate(t.Context(), dsn, nil))
	s := stockShop(t, dsn)
	s.start(1, dsn, choose("timeout 4s", "timeout 10s"))
	s.commitsTake(choose(100*time.Millisecond, 2*time.Millisecond))
	l, normal := s.startNormal(choose(32, 256))
	thaw := server.Freeze(t)
	<-time.After(choose(3*time.Second, 5*time.Second))
	thaw()
	<-time.After(2 * time.Second)
	wantAtLeast(t, "from 2 s after its return", l.measure(3*time.Second), normal, 0.9)
	l.end()
	s.wantNoDuplicates(l)
}

// Half of the connections for sales die silently: what is sent on them is lost without an error.
func TestDeadConnections_HalfLeavesTheOthersWorking(t *testing.T) {
	dsn := testenv.Database(t)
	s := stockShop(t, dsn)
	between, through := testenv.Relay(t, dsn)
	var dead atomic.Bool // if true, every second of the connections opened before is silent
	var count atomic.Int64
	between.Filters = func(hello []byte) (toServer, toClient relay.Filter) {
		doomed := bytes.Contains(hello, []byte("force_generic_plan")) && count.Add(1)%2 == 0 && !dead.Load()
		drop := func(data []byte, _ func()) []byte {
			if doomed && dead.Load() {
				return nil
			}
			return data
		}
		return drop, drop
	}
	testenv.NoError(t, between.Open())
	s.start(1, through, choose("batch 16\ntimeout 4s", "batch 32\ntimeout 10s"))
	s.commitsTake(choose(50*time.Millisecond, 2*time.Millisecond))
	l, normal := s.startNormal(choose(96, 256))
	dead.Store(true)
	died := time.Now()
	seconds := choose(4, 9)
	<-time.After(time.Duration(seconds) * time.Second)
	for i := range seconds {
		from := died.Add(time.Duration(i) * time.Second)
		// Up to three of four may be dead, as the slow lane's connections count too.
		wantAtLeast(t, "a second after the connections died", l.between(from, from.Add(time.Second)), normal, 0.2)
	}
	l.end()
	s.wantNoDuplicates(l)
}
