package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// killCommitting kills a backend during its commit. The whole server then restarts.
func killCommitting(w *world, _ *edge, _ *rand.Rand) fix {
	d := w.connect("postgres")
	defer d.Conn.Close(context.Background())
	w.until("a backend commits", func() bool {
		pid := d.Count(`SELECT coalesce(min(pid), 0) FROM pg_stat_activity
			WHERE usename = $1 AND wait_event IN ('SyncRep', 'WALSync', 'WALWrite')`, edgeRole)
		return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
	})
	w.until("the server ends its other sessions", func() bool { return d.Conn.Ping(w.t.Context()) != nil })
	return func() { w.pair.AwaitStandby(w.t) }
}

func crashPostgres(w *world, _ *edge, _ *rand.Rand) fix {
	primary := w.pair.Primary()
	testenv.NoError(w.t, syscall.Kill(primary.PID(), syscall.SIGQUIT))
	select {
	case <-primary.Done():
	case <-time.After(harness.HangGuard):
		w.t.Fatal("the immediate shutdown does not end")
	}
	return func() { primary.Start(w.t); w.pair.AwaitStandby(w.t) }
}

// terminateConnections ends all sessions of the edges, including the listeners'.
func terminateConnections(w *world, _ *edge, _ *rand.Rand) fix {
	w.onPrimary("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", edgeRole)
	return nil
}

func lockHotCustomer(w *world, _ *edge, r *rand.Rand) fix {
	return w.holding("SELECT FROM hoko.customers WHERE workspace_id = $1 AND external_id = $2 FOR UPDATE",
		workspaces[0].id, hotCustomer(r.IntN(hotCustomers)))
}

// stopBackend stops a busy backend of an edge.
func stopBackend(w *world, _ *edge, _ *rand.Rand) fix {
	d := w.connect("postgres")
	defer d.Conn.Close(context.Background())
	var pid int
	w.until("a backend of an edge is stopped", func() bool {
		pid = d.Count("SELECT coalesce(min(pid), 0) FROM pg_stat_activity WHERE usename = $1 AND state = 'active'",
			edgeRole)
		return pid != 0 && syscall.Kill(pid, syscall.SIGSTOP) == nil
	})
	return func() { _ = syscall.Kill(pid, syscall.SIGCONT) } // it may have ended after its edge gave up
}

func freezePostgres(w *world, _ *edge, _ *rand.Rand) fix {
	return w.pair.Primary().Freeze(w.t)
}

// overload adds many clients of one workspace, which send more than can be committed.
func overload(w *world, _ *edge, r *rand.Rand) fix {
	w.commitsTake(300 * time.Millisecond)
	leave := w.clients.join(crowd, workspaces[2], r.Uint64())
	return func() {
		leave()
		w.commitsTake(0)
	}
}

// commitsTake delays the commit of each transaction that records sales by d.
func (w *world) commitsTake(d time.Duration) {
	w.t.Helper()
	w.onPrimary(fmt.Sprintf(`CREATE OR REPLACE FUNCTION public.commit_slowly() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF current_setting('ledger.slept', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
				PERFORM set_config('ledger.slept', pg_current_xact_id()::text, true), pg_sleep(%f);
			END IF;
			RETURN NULL;
		END $$`, d.Seconds()))
}

// lockSales blocks all sales, as CREATE INDEX does.
func lockSales(w *world, _ *edge, _ *rand.Rand) fix {
	return w.holding("LOCK TABLE hoko.sales IN SHARE MODE")
}

// lockLinks locks the links, which a site's foreign key on sales needs to lock too.
func lockLinks(w *world, _ *edge, _ *rand.Rand) fix {
	return w.holding("SELECT FROM hoko.links FOR UPDATE")
}

// holding runs a statement in a transaction that stays open as long as the fault lasts.
func (w *world) holding(sql string, args ...any) fix {
	d := w.connect("hoko")
	d.Exec("BEGIN")
	d.Exec(sql, args...)
	return func() { d.Conn.Close(context.Background()) }
}

// fillConnections takes all connections that are left for the edges, and those that the edges had.
func fillConnections(w *world, _ *edge, _ *rand.Rand) fix {
	var conns []*pgx.Conn
	fill := func() {
		for {
			conn, err := pgx.Connect(w.t.Context(), w.edgeDSN())
			if refusal, ok := errors.AsType[*pgconn.PgError](err); ok && refusal.Code == pgerrcode.TooManyConnections {
				return
			} else if err != nil {
				w.t.Fatal(err)
			}
			conns = append(conns, conn)
		}
	}
	fill()
	w.onPrimary("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND client_addr IS NOT NULL",
		edgeRole)
	fill()
	return func() {
		for _, conn := range conns {
			conn.Close(context.Background())
		}
	}
}

// failOver stops the primary and promotes the standby. The fix adds a new standby.
func failOver(w *world, _ *edge, r *rand.Rand) fix {
	if primary := w.pair.Primary(); r.IntN(3) > 0 {
		primary.Kill()
	} else {
		primary.Stop()
	}
	time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond) // time to detect the outage
	w.pair.Promote(w.t)
	return func() { w.pair.Rejoin(w.t) }
}

// muteStandby stops the standby from receiving WAL, so that commits wait for it.
func muteStandby(w *world, _ *edge, _ *rand.Rand) fix {
	pid := w.walReceiver()
	w.signal(pid, syscall.SIGSTOP)
	return func() { w.signal(pid, syscall.SIGCONT) }
}

// failOverLagging loses the primary with commits that the standby does not have. Those whose edge
// has stopped waiting are nevertheless visible on the primary.
func failOverLagging(w *world, _ *edge, r *rand.Rand) fix {
	pid := w.walReceiver()
	w.signal(pid, syscall.SIGSTOP)
	w.until("a commit waits for the standby", func() bool { return w.pair.Waiting(w.t) > 0 })
	// A replay among new sales would wait with them: give it a batch by itself.
	w.clients.held.Store(r.IntN(2) == 0)
	// The edges wait half of the maximum.
	time.Sleep(time.Duration(r.IntN(6000)) * time.Millisecond)
	// As an operator who loses patience: the statements then succeed.
	if r.IntN(2) == 0 {
		w.onPrimary("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND wait_event = 'SyncRep'",
			edgeRole)
		time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
	}
	w.pair.Primary().Kill()
	w.clients.held.Store(false)
	w.signal(pid, syscall.SIGKILL) // with unread WAL; the standby restarts it
	w.until("the standby is back", func() bool {
		now, err := w.askStandby()
		return err == nil && now != pid
	})
	w.pair.Promote(w.t)
	return func() { w.pair.Rejoin(w.t) }
}

// walReceiver returns the PID of the standby's WAL receiver and waits until there is one.
func (w *world) walReceiver() (pid int) {
	w.t.Helper()
	w.until("the standby receives", func() bool {
		var err error
		pid, err = w.askStandby()
		return err == nil && pid > 0
	})
	return pid
}

// askStandby returns the PID of the WAL receiver, or 0 if there is none.
func (w *world) askStandby() (pid int, err error) {
	conn, err := pgx.Connect(w.t.Context(), w.pair.Standby().DSN("postgres"))
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.Background())
	err = conn.QueryRow(w.t.Context(), "SELECT coalesce(max(pid), 0) FROM pg_stat_wal_receiver").Scan(&pid)
	return pid, err
}

func (w *world) signal(pid int, signal syscall.Signal) {
	w.t.Helper()
	testenv.NoError(w.t, syscall.Kill(pid, signal))
}
