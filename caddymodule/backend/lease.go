package backend

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// maxHeaderTime is how long after a reload a request may reach a handler of the old config: Caddy's
// default read_header_timeout, one minute, plus a margin.
const maxHeaderTime = 75 * time.Second

// backends is the pool of backends in use, by the hash of their settings.
var backends = caddy.NewUsagePool()

// Lease is a config's share in a backend, which closes when its last lease ends.
type Lease struct {
	Backend *Backend // to serve requests, get it from Use, which starts it

	limits         []Limit     // of the config, since Activate
	removeLog      func()      // stops the backend from logging through this config
	used           atomic.Bool // whether requests of this config may be using the backend
	releaseBackend func()
}

// NewLease returns a lease on the backend for these settings, which it creates if there is none. It
// connects to nothing. The backend logs through the newest of its leases. NewLease returns an error
// if the settings are not valid.
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
		Backend:        b,
		removeLog:      b.log.configHandlers.add(log),
		releaseBackend: sync.OnceFunc(func() { backends.Delete(hash) }),
	}, nil
}

// Use returns the backend. The first call starts it, because a request may arrive before all apps
// of its config have started.
func (l *Lease) Use() *Backend {
	if !l.used.Load() {
		l.used.Store(true)
		l.Backend.start()
	}
	return l.Backend
}

// active has the leases of the configs that have started and not ended, newest last: two during a
// reload, of which the newer one may still fail.
var active struct {
	mu     sync.RWMutex
	leases []*Lease
}

// Activate is Use for a config that has started: its backend is the active one until it ends, with
// the config's limits, which must not change.
func (l *Lease) Activate(limits ...Limit) {
	b := l.Use()
	for _, limited := range limits {
		b.Limiter.CountDenials(limited.Name)
	}
	active.mu.Lock()
	defer active.mu.Unlock()
	l.limits = limits
	active.leases = append(active.leases, l)
}

func (l *Lease) deactivate() {
	active.mu.Lock()
	defer active.mu.Unlock()
	active.leases = slices.DeleteFunc(active.leases, func(other *Lease) bool { return other == l })
}

// Active returns the backend of the config that runs, or nil if none does: before the first load,
// and after a load of a config without the edge.
func Active() *Backend {
	active.mu.RLock()
	defer active.mu.RUnlock()
	if len(active.leases) == 0 {
		return nil
	}
	return active.leases[len(active.leases)-1].Backend
}

// Release ends the lease: immediately if it was not used, because its config failed to start or was
// only validated. Otherwise, requests of the config may still be in flight, and the lease ends
// after the longest time that a request with this body timeout may take.
func (l *Lease) Release(bodyTimeout time.Duration) {
	l.removeLog()
	l.deactivate()
	if !l.used.Load() {
		l.releaseBackend()
		return
	}
	expiring.mu.Lock()
	defer expiring.mu.Unlock()
	expiring.timers[l] = time.AfterFunc(maxHeaderTime+bodyTimeout+l.Backend.saleTimeout, func() {
		l.releaseBackend()
		expiring.mu.Lock() // not earlier: DropExpiring waits only for leases with a timer
		delete(expiring.timers, l)
		expiring.mu.Unlock()
	})
}

// expiring has a timer for each lease that was released and has not ended.
var expiring = struct {
	mu     sync.Mutex
	timers map[*Lease]*time.Timer
}{timers: make(map[*Lease]*time.Timer)}

// DropExpiring immediately ends all leases that were released. It returns when their backends have
// closed and all accepted sales are answered.
func DropExpiring() {
	expiring.mu.Lock()
	var expired []*Lease
	for l, timer := range expiring.timers {
		timer.Stop()
		expired = append(expired, l)
	}
	clear(expiring.timers)
	expiring.mu.Unlock()
	for _, l := range expired {
		l.releaseBackend()
	}
}
