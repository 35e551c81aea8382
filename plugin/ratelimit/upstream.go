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

// client is a Redis client, and redis_rate's limiter that uses it.
type client struct {
	redis.UniversalClient
	limiter *redis_rate.Limiter
}

// upstream is the Redis that a Limiter uses: the client, a breaker for each node, and the
// goroutines that probe nodes and send batches.
type upstream struct {
	logger      *slog.Logger
	metrics     *metrics
	onRecovered func() // called when the last open breaker closes

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	client atomic.Pointer[client] // switchToCluster may replace it once

	mu         sync.Mutex
	open       int // open breakers
	breakers   []*breaker
	newCluster func() redis.UniversalClient // nil if the URL rules out a Cluster
}

func newUpstream(logger *slog.Logger, metrics *metrics, onRecovered func()) *upstream {
	u := &upstream{logger: logger, metrics: metrics, onRecovered: onRecovered}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	return u
}

func (u *upstream) use(c redis.UniversalClient) {
	u.client.Store(&client{c, redis_rate.NewLimiter(c)})
}

// switchToCluster is called when a single Redis redirects a key. It replaces the client with one of
// the whole Cluster, and reports whether such a client is in use now.
func (u *upstream) switchToCluster() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	single := u.client.Load()
	_, isCluster := single.UniversalClient.(*redis.ClusterClient)
	if isCluster || u.newCluster == nil || u.ctx.Err() != nil {
		return isCluster
	}
	for _, b := range u.breakers {
		b.removed.Store(true)
	}
	u.breakers = nil
	u.use(u.newCluster())
	single.Close()
	u.logger.Info("redis is a node of a Cluster: all its nodes are used from now on")
	return true
}

// reloadSlots makes a Cluster's client fetch the slots again, in case another node has taken over.
func (u *upstream) reloadSlots() {
	if c, ok := u.client.Load().UniversalClient.(*redis.ClusterClient); ok {
		c.ReloadState(u.ctx)
	}
}

func (u *upstream) addOpen(change int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open += change
	if u.open == 0 {
		u.onRecovered()
	}
}

// start runs work in a goroutine, unless stop has been called.
func (u *upstream) start(work func(context.Context)) (started bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ctx.Err() != nil {
		return false
	}
	u.wg.Go(func() { work(u.ctx) })
	return true
}

// stop cancels the context of all goroutines, and lets no more start.
func (u *upstream) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cancel()
}

// addBreaker adds a node's breaker, and drops earlier ones of the node and of removed nodes.
func (u *upstream) addBreaker(b *breaker) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.breakers = slices.DeleteFunc(u.breakers, func(old *breaker) bool {
		return old.node == b.node || old.removed.Load()
	})
	u.breakers = append(u.breakers, b)
}

// NodeStats is the state of one Redis node's breaker.
type NodeStats struct {
	Node  string    `json:"node"`            // address, or the master's name with Sentinel
	Open  bool      `json:"open"`            // the node is probed and not used
	Since time.Time `json:"since,omitzero"`  // when the breaker opened
	Cause string    `json:"cause,omitempty"` // the last failure, a class of hoko_redis_errors_total
}

func (u *upstream) stats() []NodeStats {
	u.mu.Lock()
	defer u.mu.Unlock()
	nodes := make([]NodeStats, 0, len(u.breakers))
	for _, b := range u.breakers {
		if b.removed.Load() {
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
