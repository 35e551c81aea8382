package ratelimit

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// fleet holds the breakers of a client's nodes and owns the goroutines that
// probe them and send batches to them.
type fleet struct {
	logger  *slog.Logger
	metrics *metrics
	reload  func() // asks a Cluster for its slots again: a dead node's may have moved
	healed  func() // called when the last open breaker closes

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	breakers []*breaker
	open     int
}

func newFleet(logger *slog.Logger, healed func()) *fleet {
	f := &fleet{logger: logger, healed: healed, reload: func() {}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// add takes a breaker in, in the place of an earlier one of the same node.
func (f *fleet) add(b *breaker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, old := range f.breakers {
		if old.node == b.node {
			f.breakers[i] = b
			return
		}
	}
	f.breakers = append(f.breakers, b)
}

// forget drops an open breaker whose node is no more.
func (f *fleet) forget(b *breaker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.breakers = slices.DeleteFunc(f.breakers, func(other *breaker) bool { return other == b })
	f.count(-1)
}

func (f *fleet) opened() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count(+1)
}

func (f *fleet) closed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count(-1)
}

// count counts open breakers. The caller holds the lock.
func (f *fleet) count(change int) {
	f.open += change
	f.metrics.open.Set(float64(f.open))
	if f.open == 0 {
		f.healed()
	}
}

// run starts a goroutine of the fleet's, unless the fleet is closed.
func (f *fleet) run(work func(context.Context)) (started bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return false
	}
	f.wg.Go(func() { work(f.ctx) })
	return true
}

// stop has all goroutines end, and lets no more begin.
func (f *fleet) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancel()
}

// NodeStats is the state of one Redis node's breaker.
type NodeStats struct {
	Node  string    `json:"node"`            // its address; the master's name where Sentinel finds it
	Open  bool      `json:"open"`            // not asked, but probed
	Since time.Time `json:"since,omitzero"`  // open since then
	Cause string    `json:"cause,omitempty"` // as in hoko_redis_errors_total
}

func (f *fleet) stats() []NodeStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	nodes := make([]NodeStats, 0, len(f.breakers))
	for _, b := range f.breakers {
		n := NodeStats{Node: b.node}
		if o := b.opened.Load(); o != nil {
			n.Open, n.Since, n.Cause = true, o.since, string(o.cause)
		}
		nodes = append(nodes, n)
	}
	return nodes
}
