package backend

import (
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
	r.MustRegister(gauges{}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hoko_build_info",
		Help: "1, with the versions of the edge, Caddy, Go and the schema that this binary needs.",
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

// closed adds up what the pools of closed backends have counted.
var closed struct {
	sync.Mutex
	keyWaits, redisTimeouts uint64
}

// retire adds the counts of a backend that is about to close.
func (b *Backend) retire() {
	closed.Lock()
	defer closed.Unlock()
	if !b.retired.Swap(true) && b.keyStore != nil && b.Limiter != nil {
		closed.keyWaits += b.keyStore.Stats().Waits
		closed.redisTimeouts += b.Limiter.Stats().Connections.Timeouts
	}
}

// gauges collects the metrics that are read from the states of all backends.
type gauges struct{}

// Describe sends nothing: Collect sends every time what there is.
func (gauges) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics.
func (gauges) Collect(metrics chan<- prometheus.Metric) {
	closed.Lock()
	defer closed.Unlock()
	all := States()
	for _, r := range readings {
		metrics <- prometheus.MustNewConstMetric(r.desc, r.kind, r.value(all))
	}
}

// reading is a metric whose value is read from the states of all backends.
type reading struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(all []State) float64
}

var readings = []reading{
	gauge("hoko_backends", "Sets of connections and caches: more than one only after a reload with other settings.",
		sum(func(State) int { return 1 })),
	gauge("hoko_key_cache_entries", "Keys in the cache.", sum(func(s State) int { return s.Keys.Keys })),
	gauge("hoko_key_unknown_entries", "Keys that are remembered as unknown.",
		sum(func(s State) int { return s.Keys.Unknown })),
	gauge("hoko_key_listener_up", "1 if the listener receives notifications of revoked keys, else 0.", listenersUp),
	gauge("hoko_key_heartbeat_lag_seconds", "Time that the last heartbeat took from Postgres to the listener.",
		highest(func(s State) float64 { return s.HeartbeatLag })),
	gauge("hoko_redis_breakers_open", "Redis nodes whose circuit breaker is open.", sum(openBreakers)),
	gauge("hoko_redis_connections", "Connections to Redis.", sum(func(s State) int { return s.Limits.Connections.Idle }),
		"state", "idle"),
	gauge("hoko_redis_connections", "Connections to Redis.",
		sum(func(s State) int { return s.Limits.Connections.Open - s.Limits.Connections.Idle }), "state", "in_use"),
	gauge("hoko_postgres_connections", "Connections to Postgres of the key lookups and of the writers of sales.",
		sum(func(s State) int { return s.KeyConns.Open - s.KeyConns.InUse }), "pool", "keys", "state", "idle"),
	gauge("hoko_postgres_connections", "Connections to Postgres of the key lookups and of the writers of sales.",
		sum(func(s State) int { return s.KeyConns.InUse }), "pool", "keys", "state", "in_use"),
	gauge("hoko_postgres_connections", "Connections to Postgres of the key lookups and of the writers of sales.",
		sum(func(s State) int { return s.Sales.Connected - s.Sales.Busy }), "pool", "sales", "state", "idle"),
	gauge("hoko_postgres_connections", "Connections to Postgres of the key lookups and of the writers of sales.",
		sum(func(s State) int { return s.Sales.Busy }), "pool", "sales", "state", "in_use"),
	gauge("hoko_sale_expected_wait_seconds", "Expected wait of a sale until it is sent, for a workspace without waiting sales.",
		highest(func(s State) float64 { return s.Sales.ExpectedWait })),
	gauge("hoko_sale_queue_depth", "Sales that wait to be sent to the database, including those in the slow lane.",
		sum(func(s State) int { return s.Sales.Queued + s.Sales.SlowSales })),
	gauge("hoko_sale_slow_lane_depth", "Sales that wait in the slow lane.", sum(func(s State) int { return s.Sales.SlowSales })),
	gauge("hoko_idempotency_cleanup_timestamp_seconds",
		"Unix time at which the last `caddy hoko idempotency clean` completed, 0 if unknown.",
		highest(func(s State) float64 { return float64(s.cleanedAt) })),
	counter("hoko_redis_pool_timeouts_total", "Calls that got no connection to Redis in time.", func(all []State) float64 {
		return float64(closed.redisTimeouts) + sum(func(s State) int { return int(s.Limits.Connections.Timeouts) })(current(all))
	}),
	counter("hoko_postgres_pool_waits_total", "Key lookups and heartbeats that waited for a connection to Postgres.",
		func(all []State) float64 {
			return float64(closed.keyWaits) + sum(func(s State) int { return int(s.KeyConns.Waits) })(current(all))
		}),
}

// gauge returns a reading. labels alternates names and values.
func gauge(name, help string, value func([]State) float64, labels ...string) reading {
	constant := prometheus.Labels{}
	for i := 0; i < len(labels); i += 2 {
		constant[labels[i]] = labels[i+1]
	}
	return reading{prometheus.NewDesc(name, help, nil, constant), prometheus.GaugeValue, value}
}

func counter(name, help string, value func([]State) float64) reading {
	return reading{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, value}
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

// current returns the states of backends that are not closing: closed has the counts of the others.
func current(all []State) []State {
	return slices.DeleteFunc(slices.Clone(all), func(s State) bool { return s.retired })
}
