package ledger

import (
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/relay"
	"hoko.to/edge/internal/testenv"
)

// allFaults are all that a ledger is run against.
var allFaults = []fault{
	{on: "edge", name: "kill -9", max: time.Second, strike: killEdge},
	{on: "edge", name: "SIGTERM", max: time.Second, strike: terminateEdge},
	{on: "edge", name: "caddy stop", max: time.Second, strike: stopEdge},
	{on: "edge", name: "reload", strike: reloadEdge},
	{on: "edge", name: "reload with another DSN", strike: reloadEdgeElsewhere},

	{on: "Postgres", name: "kill -9 of a backend that commits", alone: true, strike: killCommitting},
	{on: "Postgres", name: "immediate shutdown", max: time.Second, strike: crashPostgres},
	{on: "Postgres", name: "every connection terminated", strike: terminateConnections},
	{on: "Postgres", name: "a hot customer locked", min: 100 * time.Millisecond, max: 4 * time.Second, strike: lockHotCustomer},
	{on: "Postgres", name: "a backend stopped", min: 100 * time.Millisecond, max: 4 * time.Second, alone: true, strike: stopBackend},
	{on: "Postgres", name: "the table of sales locked", min: 100 * time.Millisecond, max: 4 * time.Second, strike: lockSales},
	{on: "Postgres", name: "every link locked", min: 100 * time.Millisecond, max: 4 * time.Second, strike: lockLinks},
	{on: "Postgres", name: "frozen", min: 100 * time.Millisecond, max: 4 * time.Second, strike: freezePostgres},
	{on: "Postgres", name: "slow commits and a crowd of clients", min: time.Second, max: 4 * time.Second, strike: overload},
	{on: "Postgres", name: "no connection left", min: 100 * time.Millisecond, max: 2 * time.Second, strike: fillConnections},
	{on: "Postgres", name: "failover", max: 2 * time.Second, strike: failOver},
	{on: "Postgres", name: "failover to a standby that lags", max: 2 * time.Second, alone: true, strike: failOverLagging},
	{on: "Postgres", name: "the standby is mute", max: 5 * time.Second, strike: muteStandby},

	{on: "Redis", name: "kill -9", max: time.Second, strike: killRedis},
	{on: "Redis", name: "SIGSTOP", min: 50 * time.Millisecond, max: 2 * time.Second, strike: stopRedis},
	{on: "Redis", name: "restarted empty", strike: emptyRedis},
	{on: "Redis", name: "SCRIPT FLUSH", strike: flushScripts},
	{on: "Redis", name: "-OOM", min: 50 * time.Millisecond, max: 2 * time.Second, strike: fillRedis},
	{on: "Redis", name: "-READONLY", min: 50 * time.Millisecond, max: 2 * time.Second, strike: demoteRedis},
	{on: "Redis", name: "latency", min: 50 * time.Millisecond, max: 2 * time.Second,
		strike: relayFault(toRedis, late(60*time.Millisecond, 50*time.Millisecond), relay.ToServer, relay.ToClient)},
	{on: "Redis", name: "resets", min: 50 * time.Millisecond, max: 2 * time.Second, strike: relayFault(toRedis, reset, relay.ToClient)},
	{on: "Redis", name: "half-open connections", min: 50 * time.Millisecond, max: 2 * time.Second, strike: relayFault(toRedis, (*relay.Relay).Drop, relay.ToServer, relay.ToClient)},

	{on: "clients", name: "hang up before the answer", strike: hangUp},
	{on: "clients", name: "send slowly", min: 100 * time.Millisecond, max: 2 * time.Second, strike: sendSlowly},

	{on: "network", name: "Postgres cut after the statement was sent", max: time.Second, strike: relayFault(toPostgres, cutAfter(0), relay.ToClient)},
	{on: "network", name: "Postgres cut within the statement", max: time.Second, strike: relayFault(toPostgres, cutAfter(1500), relay.ToServer)},
	{on: "network", name: "Postgres far away", min: 50 * time.Millisecond, max: 2 * time.Second, strike: relayFault(toPostgres, late(80*time.Millisecond, 70*time.Millisecond), relay.ToClient)},
	{on: "network", name: "Postgres resets", min: 50 * time.Millisecond, max: time.Second, strike: relayFault(toPostgres, reset, relay.ToClient)},
	{on: "network", name: "Postgres does not hear", min: 50 * time.Millisecond, max: 5 * time.Second, strike: relayFault(toPostgres, (*relay.Relay).Drop, relay.ToServer)},
	{on: "network", name: "half of Postgres's connections dead", min: 50 * time.Millisecond, max: 5 * time.Second, strike: relayFault(toPostgres, dropHalf, relay.ToServer)},
	{on: "network", name: "Postgres is not heard", min: 50 * time.Millisecond, max: 5 * time.Second, strike: relayFault(toPostgres, (*relay.Relay).Drop, relay.ToClient)},
}

type mend = func()

func killEdge(w *world, e *edge, _ *rand.Rand) mend {
	e.Signal(os.Kill)
	return func() { e.Restart(w.t) }
}

func terminateEdge(w *world, e *edge, _ *rand.Rand) mend {
	e.Signal(syscall.SIGTERM)
	return func() { e.Restart(w.t) }
}

func stopEdge(w *world, e *edge, _ *rand.Rand) mend {
	if out, err := e.Caddy(w.t, "stop", "--address", "unix/"+e.Admin); err != nil {
		w.t.Fatalf("caddy stop: %v\n%s", err, out)
	}
	return func() { e.Restart(w.t) }
}

// reloadEdge loads the same settings, or others, which means caches and connections of their own.
func reloadEdge(w *world, e *edge, r *rand.Rand) mend {
	e.other = r.IntN(2) == 0
	e.WriteCaddyfile(w.t, e.settings)
	e.Reload(w.t)
	return nil
}

func reloadEdgeElsewhere(w *world, e *edge, _ *rand.Rand) mend {
	e.otherDSN = !e.otherDSN
	e.WriteCaddyfile(w.t, e.settings)
	e.Reload(w.t)
	return nil
}

func hangUp(w *world, _ *edge, r *rand.Rand) mend {
	w.clients.flights.hangUp(r)
	return nil
}

func sendSlowly(w *world, _ *edge, _ *rand.Rand) mend {
	w.clients.slow.Store(true)
	return func() { w.clients.slow.Store(false) }
}

func killRedis(w *world, _ *edge, _ *rand.Rand) mend {
	w.redis.Kill()
	return func() { w.redis.Start(w.t) }
}

func emptyRedis(w *world, _ *edge, _ *rand.Rand) mend {
	w.redis.Stop()
	w.redis.Start(w.t)
	return nil
}

func stopRedis(w *world, _ *edge, _ *rand.Rand) mend {
	pid := w.redis.PID()
	w.signal(pid, syscall.SIGSTOP)
	return func() { w.signal(pid, syscall.SIGCONT) }
}

func flushScripts(w *world, _ *edge, _ *rand.Rand) mend {
	harness.RedisDo(w.t, w.control, "SCRIPT", "FLUSH")
	return nil
}

func fillRedis(w *world, _ *edge, _ *rand.Rand) mend {
	harness.RedisDo(w.t, w.control, "CONFIG", "SET", "maxmemory", "1")
	return func() { harness.RedisDo(w.t, w.control, "CONFIG", "SET", "maxmemory", "0") }
}

// demoteRedis makes it the replica of a server that does not exist.
func demoteRedis(w *world, _ *edge, _ *rand.Rand) mend {
	harness.RedisDo(w.t, w.control, "REPLICAOF", "127.0.0.1", fmt.Sprint(testenv.FreePort(w.t)))
	return func() { harness.RedisDo(w.t, w.control, "REPLICAOF", "NO", "ONE") }
}

// relayFault strikes what lies between one edge, or all of them, and Postgres or Redis.
func relayFault(of func(*edge) []*relay.Relay, strike func(*relay.Relay, relay.Direction), ways ...relay.Direction) func(*world, *edge, *rand.Rand) mend {
	return func(w *world, e *edge, r *rand.Rand) mend {
		edges := []*edge{e}
		if r.IntN(2) == 0 {
			edges = w.edges
		}
		way := ways[r.IntN(len(ways))]
		var struck []*relay.Relay
		for _, e := range edges {
			struck = append(struck, of(e)...)
		}
		for _, between := range struck {
			strike(between, way)
		}
		return func() {
			for _, between := range struck {
				if err := between.Restore(); err != nil {
					w.t.Error(err)
				}
			}
		}
	}
}

func toPostgres(e *edge) []*relay.Relay { return e.postgres }
func toRedis(e *edge) []*relay.Relay    { return []*relay.Relay{e.redis} }

func late(delay, jitter time.Duration) func(*relay.Relay, relay.Direction) {
	return func(r *relay.Relay, way relay.Direction) { r.Delay(way, delay, jitter) }
}

func cutAfter(bytes int) func(*relay.Relay, relay.Direction) {
	return func(r *relay.Relay, way relay.Direction) { r.CutAfter(way, bytes) }
}

func dropHalf(r *relay.Relay, _ relay.Direction) { r.DropHalf() }

func reset(r *relay.Relay, _ relay.Direction) { r.Reset() }
