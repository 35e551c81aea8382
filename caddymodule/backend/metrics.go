package backend

import (
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/caddymodule/version"
)

// Metrics has the metrics of the process, whose counters survive every reload: backends share them.
// The gauges add up the backends of the process.
var Metrics = newRegistry()

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := version.Read()
	r.MustRegister(states{}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hoko_build_info",
		Help: "1, with the versions of the edge, Caddy and Go, and of the schema to which this binary migrates.",
		ConstLabels: prometheus.Labels{
			"version": build.Version, "caddy": build.Caddy, "go": build.Go, "schema": build.SchemaText(),
		},
	}, func() float64 { return 1 }))
	return r
}

// Collector passes the process's metrics to the registry of a config, which is new for each config.
type Collector struct{}

// Describe sends nothing, so that a config does not fail if another module has a metric of the same
// name.
func (Collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics.
func (Collector) Collect(metrics chan<- prometheus.Metric) { Metrics.Collect(metrics) }

// poolCounts are what connection pools have counted.
type poolCounts struct{ postgresWaits, redisWaits, redisTimeouts uint64 }

func (b *Backend) poolCounts() poolCounts {
	redis := b.Limiter.Stats().Connections
	return poolCounts{b.keyStore.Stats().Waits, redis.Waits, redis.Timeouts}
}

// poolTotals adds up what the pools of all backends have counted, also of those that have closed.
type poolTotals struct {
	mu       sync.Mutex
	backends map[*Backend]struct{}
	totals   poolCounts
}

var pools = poolTotals{backends: map[*Backend]struct{}{}}

func (p *poolTotals) add(b *Backend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backends[b] = struct{}{}
}

// remove counts a backend for the last time.
func (p *poolTotals) remove(b *Backend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, added := p.backends[b]; added {
		p.count(b)
		delete(p.backends, b)
	}
}

// read returns the totals, which never decrease.
func (p *poolTotals) read() poolCounts {
	p.mu.Lock()
	defer p.mu.Unlock()
	for b := range p.backends {
		p.count(b)
	}
	return p.totals
}

// count adds what a backend has counted since the last call.
func (p *poolTotals) count(b *Backend) {
	now, last := b.poolCounts(), b.counted
	p.totals.postgresWaits += increase(last.postgresWaits, now.postgresWaits)
	p.totals.redisWaits += increase(last.redisWaits, now.redisWaits)
	p.totals.redisTimeouts += increase(last.redisTimeouts, now.redisTimeouts)
	b.counted = now
}

// increase returns how much a count has grown. A count shrinks if a Redis Cluster loses a node,
// because it no longer includes the node's pool.
func increase(last, now uint64) uint64 { return max(now, last) - last }

// states collects the metrics that are read from the states of all backends.
type states struct{}

// Describe sends nothing: Collect sends every time what there is.
func (states) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics.
func (states) Collect(metrics chan<- prometheus.Metric) {
	all, counted := States(), pools.read()
	for _, g := range gauges {
		metrics <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.value(all))
	}
	for _, c := range poolCounters {
		metrics <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(c.value(counted)))
	}
}

// gauge is a metric whose value is read from the states of all backends.
type gauge struct {
	desc  *prometheus.Desc
	value func(all []State) float64
}

var gauges = slices.Concat([]gauge{
	newGauge("hoko_backends", "Sets of connections and caches: more than one only after a reload with other settings.",
		sum(func(State) int { return 1 })),
	newGauge("hoko_key_cache_entries", "Keys in the cache.", sum(func(s State) int { return s.Keys.Keys })),
	newGauge("hoko_key_unknown_entries", "Keys that are remembered as unknown.",
		sum(func(s State) int { return s.Keys.Unknown })),
	newGauge("hoko_key_listener_up", "1 if the listener receives notifications of revoked keys, else 0.", listenersUp),
	newGauge("hoko_key_heartbeat_lag_seconds", "Time that the last heartbeat took from Postgres to the listener.",
		highest(func(s State) float64 { return s.HeartbeatLag })),
	newGauge("hoko_redis_breakers_open", "Redis nodes whose circuit breaker is open.", sum(openBreakers)),
	newGauge("hoko_sale_expected_wait_seconds",
		"Expected wait of a sale until it is sent, for a workspace without waiting sales.",
		highest(func(s State) float64 { return s.Sales.ExpectedWait })),
	newGauge("hoko_sale_queue_depth", "Sales that wait to be sent to the database, including those in the slow lane.",
		sum(func(s State) int { return s.Sales.Queued + s.Sales.SlowSales })),
	newGauge("hoko_sale_slow_lane_depth", "Sales that wait in the slow lane.",
		sum(func(s State) int { return s.Sales.SlowSales })),
	newGauge("hoko_idempotency_cleanup_timestamp_seconds",
		"Unix time at which the last `caddy hoko idempotency clean` completed, 0 if unknown.",
		highest(func(s State) float64 { return float64(s.cleanedAt) })),
},
	connections("hoko_redis_connections", "Connections to Redis.", nil,
		func(s State) (int, int) { return s.Limits.Connections.Open, s.Limits.Connections.Idle }),
	connections("hoko_postgres_connections", postgresHelp, prometheus.Labels{"pool": "keys"},
		func(s State) (int, int) { return s.KeyConns.Open, s.KeyConns.Open - s.KeyConns.InUse }),
	connections("hoko_postgres_connections", postgresHelp, prometheus.Labels{"pool": "sales"},
		func(s State) (int, int) { return s.Sales.Connected, s.Sales.Connected - s.Sales.Busy }),
	connections("hoko_postgres_connections", postgresHelp, prometheus.Labels{"pool": "slow_lane"},
		func(s State) (int, int) { return s.Sales.SlowConnected, s.Sales.SlowConnected - s.Sales.SlowBusy }),
)

const postgresHelp = "Connections to Postgres of the key lookups, the writers of sales and the slow lane. " +
	"Each backend has one more, on which it listens."

func newGauge(name, help string, value func([]State) float64) gauge {
	return gauge{prometheus.NewDesc(name, help, nil, nil), value}
}

// connections returns the gauges of open connections by state.
func connections(name, help string, labels prometheus.Labels, count func(State) (open, idle int)) []gauge {
	with := func(state string, value func(State) int) gauge {
		all := prometheus.Labels{"state": state}
		maps.Copy(all, labels)
		return gauge{prometheus.NewDesc(name, help, nil, all), sum(value)}
	}
	return []gauge{
		with("idle", func(s State) int { _, idle := count(s); return max(idle, 0) }),
		with("in_use", func(s State) int { open, idle := count(s); return max(open-idle, 0) }),
	}
}

// poolCounter is a counter that is read from the totals of the pools.
type poolCounter struct {
	desc  *prometheus.Desc
	value func(poolCounts) uint64
}

var poolCounters = []poolCounter{
	newPoolCounter("hoko_postgres_pool_waits_total",
		"Key lookups and heartbeats that waited for a connection to Postgres, or for a new one to be set up.",
		func(c poolCounts) uint64 { return c.postgresWaits }),
	newPoolCounter("hoko_redis_pool_waits_total", "Calls that waited for a connection to Redis and got one.",
		func(c poolCounts) uint64 { return c.redisWaits }),
	newPoolCounter("hoko_redis_pool_timeouts_total", "Calls that got no connection to Redis in time.",
		func(c poolCounts) uint64 { return c.redisTimeouts }),
}

func newPoolCounter(name, help string, value func(poolCounts) uint64) poolCounter {
	return poolCounter{prometheus.NewDesc(name, help, nil, nil), value}
}

func sum(of func(State) int) func([]State) float64 {
	return func(all []State) (total float64) {
		for _, s := range all {
			total += float64(of(s))
		}
		return total
	}
}

func highest(of func(State) float64) func([]State) float64 {
	return func(all []State) (most float64) {
		for _, s := range all {
			most = max(most, of(s))
		}
		return most
	}
}

// listenersUp returns 1 if the listeners of all started backends are up.
func listenersUp(all []State) float64 {
	started := 0
	for _, s := range all {
		if s.started && !s.Keys.Listening {
			return 0
		}
		if s.started {
			started++
		}
	}
	return float64(min(started, 1))
}

func openBreakers(s State) (open int) {
	for _, node := range s.Limits.Nodes {
		if node.Open {
			open++
		}
	}
	return open
}
