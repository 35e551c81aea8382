package ratelimit

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

// link is a client, and the limiter that calls its script over it.
type link struct {
	client redis.UniversalClient
	rate   *redis_rate.Limiter
}

// fleet is what a Limiter asks: its client, the breakers of that client's nodes, and the goroutines
// that probe nodes and send batches to them.
type fleet struct {
	logger  *slog.Logger
	metrics *metrics
	healed  func() // called when the last open breaker closes

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// link is replaced at most once: if the single Redis turns out to be a node of a Cluster.
	link atomic.Pointer[link]

	mu       sync.Mutex
	open     int // breakers
	breakers []*breaker
	cluster  func() redis.UniversalClient // returns a client of the whole Cluster; nil if the URL rules that out
}

func newFleet(logger *slog.Logger, healed func()) *fleet {
	f := &fleet{logger: logger, healed: healed}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// use has client asked from now on.
func (f *fleet) use(client redis.UniversalClient) {
	f.link.Store(&link{client, redis_rate.NewLimiter(client)})
}

// followCluster is called when a single Redis names another one for a key. It replaces the client
// by one of the whole Cluster, and reports whether the Cluster is asked now.
func (f *fleet) followCluster() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, follows := f.link.Load().client.(*redis.ClusterClient)
	if follows || f.cluster == nil || f.ctx.Err() != nil {
		return follows
	}
	single := f.link.Load().client
	for _, b := range f.breakers {
		b.gone.Store(true)
	}
	f.breakers = nil
	f.use(f.cluster())
	single.Close()
	f.logger.Info("redis is a node of a Cluster: all its nodes are asked from now on")
	return true
}

// reload asks a Cluster for its slots again: a dead node's may have moved.
func (f *fleet) reload() {
	if c, ok := f.link.Load().client.(*redis.ClusterClient); ok {
		c.ReloadState(f.ctx)
	}
}

// count counts open breakers.
func (f *fleet) count(change int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open += change
	f.metrics.open.Set(float64(f.open))
	if f.open == 0 {
		f.healed()
	}
}

// run starts a goroutine, unless stop has been called.
func (f *fleet) run(work func(context.Context)) (started bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return false
	}
	f.wg.Go(func() { work(f.ctx) })
	return true
}

// stop ends all goroutines, and lets no more begin.
func (f *fleet) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancel()
}

// add takes a breaker in. It drops an earlier one of the same node, and those whose node is no
// more.
func (f *fleet) add(b *breaker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.breakers = slices.DeleteFunc(f.breakers, func(old *breaker) bool { return old.node == b.node || old.gone.Load() })
	f.breakers = append(f.breakers, b)
}

// NodeStats is the state of one Redis node's breaker.
type NodeStats struct {
	Node  string    `json:"node"`            // its address; the master's name where Sentinel finds it
	Open  bool      `json:"open"`            // not asked, but probed
	Since time.Time `json:"since,omitzero"`  // open since then
	Cause string    `json:"cause,omitempty"` // as in hoko_redis_errors_total: the last probe's
}

func (f *fleet) stats() []NodeStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	nodes := make([]NodeStats, 0, len(f.breakers))
	for _, b := range f.breakers {
		if b.gone.Load() {
			continue
		}
		n := NodeStats{Node: b.node}
		if o := b.opened.Load(); o != nil {
			n.Open, n.Since, n.Cause = true, o.since, string(o.cause)
		}
		nodes = append(nodes, n)
	}
	return nodes
}
