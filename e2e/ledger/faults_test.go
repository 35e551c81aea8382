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

var allFaults = []fault{
	{on: "edge", name: "kill -9", max: sec, inject: killEdge},
	{on: "edge", name: "SIGTERM", max: sec, inject: terminateEdge},
	{on: "edge", name: "caddy stop", max: sec, inject: stopEdge},
	{on: "edge", name: "reload", inject: reloadEdge},
	{on: "edge", name: "reload with another DSN", inject: reloadEdgeElsewhere},

	{on: "Postgres", name: "kill -9 of a backend that commits", exclusive: true, inject: killCommitting},
	{on: "Postgres", name: "immediate shutdown", max: sec, inject: crashPostgres},
	{on: "Postgres", name: "every connection terminated", inject: terminateConnections},
	{on: "Postgres", name: "a hot customer locked", min: 100 * ms, max: 4 * sec, inject: lockHotCustomer},
	{on: "Postgres", name: "a backend stopped", min: 100 * ms, max: 4 * sec, exclusive: true, inject: stopBackend},
	{on: "Postgres", name: "the table of sales locked", min: 100 * ms, max: 4 * sec, inject: lockSales},
	{on: "Postgres", name: "every link locked", min: 100 * ms, max: 4 * sec, inject: lockLinks},
	{on: "Postgres", name: "frozen", min: 100 * ms, max: 4 * sec, inject: freezePostgres},
	{on: "Postgres", name: "slow commits and a crowd of clients", min: sec, max: 4 * sec, inject: overload},
	{on: "Postgres", name: "no connection left", min: 100 * ms, max: 2 * sec, inject: fillConnections},
	{on: "Postgres", name: "failover", max: 2 * sec, inject: failOver},
	{on: "Postgres", name: "failover to a standby that lags", max: 2 * sec, exclusive: true, inject: failOverLagging},
	{on: "Postgres", name: "the standby is mute", max: 5 * sec, inject: muteStandby},

	{on: "Redis", name: "kill -9", max: sec, inject: killRedis},
	{on: "Redis", name: "SIGSTOP", min: 50 * ms, max: 2 * sec, inject: stopRedis},
	{on: "Redis", name: "restarted empty", inject: emptyRedis},
	{on: "Redis", name: "SCRIPT FLUSH", inject: flushScripts},
	{on: "Redis", name: "-OOM", min: 50 * ms, max: 2 * sec, inject: fillRedis},
	{on: "Redis", name: "-READONLY", min: 50 * ms, max: 2 * sec, inject: demoteRedis},
	{on: "Redis", name: "latency", min: 50 * ms, max: 2 * sec,
		inject: relayFault(toRedis, late(60*ms, 50*ms), relay.ToServer, relay.ToClient)},
	{on: "Redis", name: "resets", min: 50 * ms, max: 2 * sec, inject: relayFault(toRedis, reset, relay.ToClient)},
	{on: "Redis", name: "half-open connections", min: 50 * ms, max: 2 * sec,
		inject: relayFault(toRedis, drop, relay.ToServer, relay.ToClient)},

	{on: "clients", name: "hang up before the answer", inject: hangUp},
	{on: "clients", name: "send slowly", min: 100 * ms, max: 2 * sec, inject: sendSlowly},

	{on: "network", name: "Postgres cut after the statement was sent", max: sec,
		inject: relayFault(toPostgres, cutAfter(0), relay.ToClient)},
	{on: "network", name: "Postgres cut within the statement", max: sec,
		inject: relayFault(toPostgres, cutAfter(1500), relay.ToServer)},
	{on: "network", name: "Postgres far away", min: 50 * ms, max: 2 * sec,
		inject: relayFault(toPostgres, late(80*ms, 70*ms), relay.ToClient)},
	{on: "network", name: "Postgres resets", min: 50 * ms, max: sec,
		inject: relayFault(toPostgres, reset, relay.ToClient)},
	{on: "network", name: "Postgres receives nothing", min: 50 * ms, max: 5 * sec,
		inject: relayFault(toPostgres, drop, relay.ToServer)},
	{on: "network", name: "half of Postgres's connections dead", min: 50 * ms, max: 5 * sec,
		inject: relayFault(toPostgres, dropHalf, relay.ToServer)},
	{on: "network", name: "Postgres's answers are lost", min: 50 * ms, max: 5 * sec,
		inject: relayFault(toPostgres, drop, relay.ToClient)},
}

const ms, sec = time.Millisecond, time.Second

type (
	fix      = func()
	injector = func(*world, *edge, *rand.Rand) fix
)

func killEdge(w *world, e *edge, _ *rand.Rand) fix {
	e.Signal(os.Kill)
	return func() { e.Restart(w.t) }
}

func terminateEdge(w *world, e *edge, _ *rand.Rand) fix {
	e.Signal(syscall.SIGTERM)
	return func() { e.Restart(w.t) }
}

func stopEdge(w *world, e *edge, _ *rand.Rand) fix {
	if out, err := e.Caddy(w.t, "stop", "--address", "unix/"+e.Admin); err != nil {
		w.t.Fatalf("caddy stop: %v\n%s", err, out)
	}
	return func() { e.Restart(w.t) }
}

// reloadEdge reloads the same settings, or other ones, which create new caches and connections.
func reloadEdge(w *world, e *edge, r *rand.Rand) fix {
	e.other = r.IntN(2) == 0
	e.WriteCaddyfile(w.t, e.settings)
	e.Reload(w.t)
	return nil
}

func reloadEdgeElsewhere(w *world, e *edge, _ *rand.Rand) fix {
	e.otherDSN = !e.otherDSN
	e.WriteCaddyfile(w.t, e.settings)
	e.Reload(w.t)
	return nil
}

func hangUp(w *world, _ *edge, r *rand.Rand) fix {
	w.clients.flights.hangUp(r)
	return nil
}

func sendSlowly(w *world, _ *edge, _ *rand.Rand) fix {
	w.clients.slow.Store(true)
	return func() { w.clients.slow.Store(false) }
}

func killRedis(w *world, _ *edge, _ *rand.Rand) fix {
	w.redis.Kill()
	return func() { w.redis.Start(w.t) }
}

func emptyRedis(w *world, _ *edge, _ *rand.Rand) fix {
	w.redis.Stop()
	w.redis.Start(w.t)
	return nil
}

func stopRedis(w *world, _ *edge, _ *rand.Rand) fix {
	pid := w.redis.PID()
	w.signal(pid, syscall.SIGSTOP)
	return func() { w.signal(pid, syscall.SIGCONT) }
}

func flushScripts(w *world, _ *edge, _ *rand.Rand) fix {
	harness.RedisDo(w.t, w.control, "SCRIPT", "FLUSH")
	return nil
}

func fillRedis(w *world, _ *edge, _ *rand.Rand) fix {
	harness.RedisDo(w.t, w.control, "CONFIG", "SET", "maxmemory", "1")
	return func() { harness.RedisDo(w.t, w.control, "CONFIG", "SET", "maxmemory", "0") }
}

// demoteRedis makes Redis the replica of a server that does not exist.
func demoteRedis(w *world, _ *edge, _ *rand.Rand) fix {
	harness.RedisDo(w.t, w.control, "REPLICAOF", "127.0.0.1", fmt.Sprint(testenv.FreePort(w.t)))
	return func() { harness.RedisDo(w.t, w.control, "REPLICAOF", "NO", "ONE") }
}

// relayFault returns a fault of one edge's relays, or of all edges', to Postgres or Redis.
func relayFault(
	of func(*edge) []*relay.Relay, inject func(*relay.Relay, relay.Direction), ways ...relay.Direction,
) injector {
	return func(w *world, e *edge, r *rand.Rand) fix {
		edges := []*edge{e}
		if r.IntN(2) == 0 {
			edges = w.edges
		}
		way := ways[r.IntN(len(ways))]
		var broken []*relay.Relay
		for _, e := range edges {
			broken = append(broken, of(e)...)
		}
		for _, one := range broken {
			inject(one, way)
		}
		return func() {
			for _, one := range broken {
				if err := one.Restore(); err != nil {
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

func drop(r *relay.Relay, way relay.Direction) { r.Drop(way) }

func dropHalf(r *relay.Relay, _ relay.Direction) { r.DropHalf() }

func reset(r *relay.Relay, _ relay.Direction) { r.Reset() }
