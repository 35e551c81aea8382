package backend

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// longestHead is how long after a reload a request may still reach a handler of the old config:
// Caddy's default read_header_timeout plus a margin.
const longestHead = 75 * time.Second

// backends in use, by the hash of their settings.
var backends = caddy.NewUsagePool()

// Lease is a config's share in a backend. Configs with the same settings share one backend, which
// closes with the last lease.
type Lease struct {
	// Backend may be used in requests, whose handlers get it from Use.
	Backend *Backend

	unlog func()      // ends the backend's logging through this config
	used  atomic.Bool // requests of this config may hold the backend
	drop  func()
}

// NewLease takes a share in the backend of these settings and creates it if necessary. It connects
// to nothing. The backend logs through the config that took its lease last.
func NewLease(s Settings, log slog.Handler) (*Lease, error) {
	s, err := s.WithDefaults()
	if err != nil {
		return nil, err
	}
	hash := s.hash()
	value, _, err := backends.LoadOrNew(hash, func() (caddy.Destructor, error) { return newBackend(s) })
	if err != nil {
		return nil, err
	}
	b := value.(*Backend)
	return &Lease{
		Backend: b,
		unlog:   b.log.holders.add(log),
		drop:    sync.OnceFunc(func() { backends.Delete(hash) }),
	}, nil
}

// Use returns the backend. The first call starts it: a request may arrive before all apps of its
// config have started.
func (l *Lease) Use() *Backend {
	if !l.used.Load() {
		l.used.Store(true)
		l.Backend.start()
	}
	return l.Backend
}

// Release ends the lease. If it was used, it ends only after the longest request, whose body may
// take longestBody: Caddy cleans up a config's modules while requests of that config are in flight.
// A lease that was not used is that of a config that failed to start, or was only validated.
func (l *Lease) Release(longestBody time.Duration) {
	l.unlog()
	if !l.used.Load() {
		l.drop()
		return
	}
	leases.add(l, longestHead+longestBody+l.Backend.saleTimeout)
}

// leases of configs that have ended.
var leases = expiring{timers: make(map[*Lease]*time.Timer)}

type expiring struct {
	mu     sync.Mutex
	timers map[*Lease]*time.Timer
}

func (e *expiring) add(l *Lease, after time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.timers[l] = time.AfterFunc(after, func() {
		l.drop()
		e.mu.Lock() // only now, so that DropExpiring waits for a backend that is closing
		delete(e.timers, l)
		e.mu.Unlock()
	})
}

// DropExpiring ends the leases of configs that have ended immediately. It returns when their
// backends have closed and all accepted sales are answered.
func DropExpiring() {
	leases.mu.Lock()
	var expired []*Lease
	for l, timer := range leases.timers {
		timer.Stop()
		expired = append(expired, l)
	}
	clear(leases.timers)
	leases.mu.Unlock()
	for _, l := range expired {
		l.drop()
	}
}
