package caddymodule

import (
	"crypto/sha256"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// longestHead is how long after a reload a request may still reach a handler
// of the old config: Caddy's default read_header_timeout, and some.
const longestHead = 75 * time.Second

// backends in use, by the hash of their settings.
var backends = caddy.NewUsagePool()

// lease is a config's share in a backend. Configs of the same settings share
// one backend, and it closes with the last lease.
type lease struct {
	hash    [sha256.Size]byte
	backend *backend
	// unlog ends the backend's logging through this config.
	unlog func()
	// used: requests of this config may hold the backend.
	used atomic.Bool
	drop func()
}

// newLease takes a share in the backend of these settings, making it where
// there is none. It connects to nothing.
func newLease(s settings, log slog.Handler) (*lease, error) {
	hash := s.hash()
	value, _, err := backends.LoadOrNew(hash, func() (caddy.Destructor, error) { return newBackend(s) })
	if err != nil {
		return nil, err
	}
	l := &lease{hash: hash, backend: value.(*backend)}
	l.unlog = l.backend.log.holders.add(log)
	l.drop = sync.OnceFunc(func() { backends.Delete(hash) })
	return l, nil
}

// use is the backend, started by the first who needs it.
func (l *lease) use() *backend {
	if !l.used.Load() {
		l.used.Store(true)
		l.backend.start()
	}
	return l.backend
}

// release ends the lease, if it was used only after a while: Caddy cleans a
// config's modules up while requests of that config are under way.
func (l *lease) release(linger time.Duration) {
	l.unlog()
	if !l.used.Load() {
		l.drop()
		return
	}
	lingering.add(l, linger)
}

// lingering are the leases of configs that have ended.
var lingering = lingerers{timers: make(map[*lease]*time.Timer)}

type lingerers struct {
	mu     sync.Mutex
	timers map[*lease]*time.Timer
}

func (g *lingerers) add(l *lease, linger time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timers[l] = time.AfterFunc(linger, func() {
		l.drop()
		g.mu.Lock() // only now, so that dropAll waits for a backend that is closing
		delete(g.timers, l)
		g.mu.Unlock()
	})
}

// dropAll ends every one of them now, and returns when their backends have
// closed, with all accepted sales answered.
func (g *lingerers) dropAll() {
	g.mu.Lock()
	var leases []*lease
	for l, timer := range g.timers {
		timer.Stop()
		leases = append(leases, l)
	}
	clear(g.timers)
	g.mu.Unlock()
	for _, l := range leases {
		l.drop()
	}
}
