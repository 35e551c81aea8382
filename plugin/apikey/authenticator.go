package apikey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/limit"
)

// Options configures an Authenticator. The zero value of a field selects its default.
type Options struct {
	// Size is the maximum number of cached keys. A key with many allowed host names counts as
	// several. Default: 100,000.
	Size int
	// TTL is how long a cached key is used before it is looked up again. Revocation does not wait
	// for it: see Notify. Default: 1 minute.
	TTL time.Duration
	// Stale is how long after its last lookup a cached key is used if the store cannot answer. If
	// it is negative, a key is not used after TTL. Default: 5 minutes.
	Stale time.Duration
	// Guesses limits the lookups of unknown keys for each client address, or each /64 for IPv6.
	// Default: 60 per minute.
	Guesses limit.Limit
	// Uses records when keys are used. Default: uses are not recorded.
	Uses Uses
	// Logger logs outages of the store and unannounced changes. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics registers the metrics. Authenticators with the same registerer share the counters.
	// Default: they are not registered.
	Metrics prometheus.Registerer
}

// WithDefaults returns o with its defaults filled in. The error names an option that is not valid.
func (o Options) WithDefaults() (Options, error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.Size = cmp.Or(o.Size, 100_000)
	o.TTL = cmp.Or(o.TTL, time.Minute)
	o.Stale = cmp.Or(o.Stale, 5*time.Minute)
	o.Guesses = cmp.Or(o.Guesses, limit.Limit{Rate: 60, Period: time.Minute, Burst: 60})
	switch {
	case o.Size < 1:
		return o, fmt.Errorf("the key cache must hold at least 1 key, not %d", o.Size)
	case o.TTL < 0:
		return o, fmt.Errorf("the key cache's ttl must be positive, not %s", o.TTL)
	}
	if err := o.Guesses.Validate(); err != nil {
		return o, fmt.Errorf("guesses: %w", err)
	}
	return o, nil
}

// Uses records when keys are used.
type Uses interface {
	// Add records that the valid key with this ID is used now. An Authenticator calls it once a
	// minute for a cached key, and again if the key has been looked up since. It must not block.
	Add(keyID string)
}

// Authenticator authenticates requests. It is safe for concurrent use. A listener for hoko_keys
// notifications must call Notify, ListenerUp and ListenerDown.
type Authenticator struct {
	lookups *lookups
	metrics *metrics
}

// New returns an Authenticator that looks up keys in store. It returns an error if an option is not
// valid. It does not call store and starts no goroutine. Until ListenerUp is called, the listener
// counts as down: see ListenerDown.
func New(store Store, o Options) (*Authenticator, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	a := &Authenticator{metrics: newMetrics(o.Metrics)}
	if a.lookups, err = newLookups(store, o, a.metrics); err != nil {
		return nil, err
	}
	return a, nil
}

// Found says where an Authenticator found a key, or that it does not exist.
type Found string

// Where keys are found. It is empty if none was looked for: the request has no key, or a malformed
// one.
const (
	FoundInCache  Found = "cache"
	FoundByLookup Found = "lookup" // of the store, even if that fails or has no such key
	FoundStale    Found = "stale"  // in the cache, due for a lookup that the store did not answer
	FoundMissing  Found = "remembered as unknown"
)

// Authenticate returns the key in the Authorization header if it is valid, allows the host name in
// Origin or Referer, and has the required scopes, and where it looked for the key. client is the
// client's address without a port. If the key is not cached, the guess budget of that address
// limits the lookup.
//
// The error is a *Rejected (401), a *MissingScopes (403) or a *GuessesSpent (429), or wraps
// ErrUnavailable (503). If ctx is canceled while Authenticate waits, the error wraps its cause too.
func (a *Authenticator) Authenticate(
	ctx context.Context, header http.Header, client string, required Required,
) (*Key, Found, error) {
	key, found, err := a.authenticate(ctx, header, client)
	if err == nil {
		if missing := required.Missing(key.Scopes); missing != nil {
			key, err = nil, &MissingScopes{Key: key, Scopes: missing, Required: required.names}
		}
	}
	a.metrics.authenticated(ctx, err)
	return key, found, err
}

// CountEarlyData counts a request that was answered 425 before authentication.
func (a *Authenticator) CountEarlyData() { a.metrics.earlyData.Inc() }

func (a *Authenticator) authenticate(ctx context.Context, header http.Header, client string) (*Key, Found, error) {
	token, rejected := parseToken(header["Authorization"])
	if rejected != nil {
		return nil, "", rejected
	}
	now := a.lookups.now() // only once, because it costs nearly as much as finding the entry
	e, found, err := a.lookups.find(ctx, token.Hash(), client, now)
	if errors.Is(err, ErrNotFound) {
		return nil, found, &Rejected{Cause: CauseUnknown, KeySent: true}
	}
	if err != nil {
		return nil, found, err
	}
	if rejected := check(&e.key, header); rejected != nil {
		return nil, found, rejected
	}
	a.lookups.use(e, now)
	return &e.key, found, nil
}

// check returns why the key is not valid for this request now, or nil if it is.
func check(key *Key, header http.Header) *Rejected {
	var now time.Time
	if !key.ExpiresAt.IsZero() { // otherwise, do not read the clock
		now = time.Now()
	}
	cause := key.Invalid(now)
	var host *HostRule
	if cause == "" && !hostAllowed(key.AllowedHostnames, header) {
		cause, host = CauseHostNotAllowed, newHostRule(key.AllowedHostnames, header)
	}
	if cause == "" {
		return nil
	}
	return &Rejected{Cause: cause, KeySent: true, KeyID: key.ID, WorkspaceID: key.WorkspaceID, Host: host}
}

// Notify handles the payload of a hoko_keys notification: the keys that it names are not used again
// before they have been looked up. docs/keys.md lists the payloads.
func (a *Authenticator) Notify(payload string) { a.lookups.epochs.notify(payload) }

// ListenerUp reports that the listener receives notifications, for the first time or again. Each
// cached key is looked up at its next use, because a notification may have been missed.
func (a *Authenticator) ListenerUp() {
	a.lookups.epochs.advance(&a.lookups.epochs.reconnects)
	a.lookups.listenerUp.Store(true)
}

// ListenerDown reports that notifications may be missed from now on. Until ListenerUp is called,
// keys are looked up again after 5 seconds, or after Options.TTL if that is shorter.
func (a *Authenticator) ListenerDown() { a.lookups.listenerUp.Store(false) }

// Stats describes the state of an Authenticator, for the admin endpoint.
type Stats struct {
	// Keys is the number of cached keys.
	Keys int `json:"keys"`
	// Size is Options.Size.
	Size int `json:"size"`
	// Unknown is the number of keys that are remembered as unknown.
	Unknown int `json:"unknown"`
	// Clients is the number of client addresses with a guess budget in memory.
	Clients int `json:"clients"`
	// Listening is whether the listener is up.
	Listening bool `json:"listening"`
	// Outage is whether a lookup failed within the last 5 seconds and none has succeeded since.
	Outage bool `json:"outage"`
}

// Listening reports whether the listener is up.
func (a *Authenticator) Listening() bool { return a.lookups.listenerUp.Load() }

// Stats returns the current state. It visits every cached key.
func (a *Authenticator) Stats() Stats {
	l := a.lookups
	return Stats{
		Keys:      l.keys.len(),
		Size:      l.keys.size,
		Unknown:   l.unknown.len(),
		Clients:   l.guesses.len(),
		Listening: a.Listening(),
		Outage:    l.outage.active(l.now()),
	}
}

// Cached is what an Authenticator remembers of a key.
type Cached struct {
	Key *Key          // nil if it is remembered as unknown
	Age time.Duration // since the store was asked; 0 if it is remembered as unknown
	Due bool          // the next use asks the store again
}

// Cached returns what is remembered of the key with this hash, and whether anything is.
func (a *Authenticator) Cached(hash Hash) (c Cached, known bool) {
	now := a.lookups.now()
	e, current := a.lookups.cachedResult(hash, now)
	if e == nil {
		return Cached{}, current
	}
	return Cached{Key: &e.key, Age: now - e.checked, Due: !current}, true
}

// CachedID returns the hash of the cached key with this ID, and whether there is one. It visits
// every cached key.
func (a *Authenticator) CachedID(id string) (hash Hash, known bool) {
	a.lookups.keys.each(func(e *entry) (done bool) {
		if e.key.ID == id {
			hash, known = e.key.Hash, true
		}
		return known
	})
	return hash, known
}

// Close cancels the lookups in flight, waits for them and empties the cache. Requests that need a
// lookup then fail with ErrUnavailable. Close may be called at any time and more than once.
func (a *Authenticator) Close() { a.lookups.close() }
