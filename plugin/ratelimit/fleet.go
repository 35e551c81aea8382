package ratelimit

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// shared is what the breakers of a client's nodes have in common, the goroutines that probe nodes and
// send batches to them included.
type shared struct {
	logger  *slog.Logger
	metrics *metrics
	reload  func() // asks a Cluster for its slots again: a dead node's may have moved
	healed  func() // called when the last open breaker closes

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	open int // breakers
}

// count counts open breakers.
func (s *shared) count(change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open += change
	s.metrics.open.Set(float64(s.open))
	if s.open == 0 {
		s.healed()
	}
}

// run starts a goroutine, unless stop has been called.
func (s *shared) run(work func(context.Context)) (started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.wg.Go(func() { work(s.ctx) })
	return true
}

// stop ends all goroutines, and lets no more begin.
func (s *shared) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel()
}

// fleet holds the breakers of a client's nodes.
type fleet struct {
	*shared
	mu       sync.Mutex
	breakers []*breaker
}

func newFleet(logger *slog.Logger, healed func()) *fleet {
	s := &shared{logger: logger, healed: healed, reload: func() {}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return &fleet{shared: s}
}

// add takes a breaker in. It drops an earlier one of the same node, and those whose node is no more.
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
	Cause string    `json:"cause,omitempty"` // as in hoko_redis_errors_total
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
