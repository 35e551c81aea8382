package apikey

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// deafTrust is how long a key is used without asking the store while no
// revocation would be heard of.
const deafTrust = 5 * time.Second

// Authenticator says which key a request carries, and whether it holds. A key
// is decided in this order: by its shape; from the cache; as one that is known to
// be unknown; by the client's budget of guesses; by the store.
type Authenticator struct {
	store      Store
	ttl, stale time.Duration
	metrics    *metrics

	start     time.Time // of the monotonic clock that entries are dated by
	keys      *cache
	unknown   *unknownKeys
	guesses   *guesses
	epochs    epochs
	listening atomic.Bool

	flights flights
	slots   slots
	outage  outage

	ctx    context.Context // of the lookups; ends with Close
	cancel context.CancelFunc
}

// New dials nothing and starts no goroutine. Until the first Listening, keys are
// trusted for a few seconds only.
func New(store Store, o Options) (*Authenticator, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	unknown, err := newUnknownKeys()
	if err != nil {
		return nil, err
	}
	guesses, err := newGuesses(o.Guesses)
	if err != nil {
		return nil, err
	}
	a := &Authenticator{
		store:   store,
		ttl:     o.TTL,
		stale:   o.Stale,
		start:   time.Now(),
		unknown: unknown,
		guesses: guesses,
		flights: newFlights(o.Size),
		slots:   newSlots(),
		outage:  outage{logger: o.Logger},
	}
	// Longer than an entry may be used: it still tells a known key from a guess.
	a.keys = newCache(o.Size, o.TTL+o.Stale, a.now)
	if a.metrics, err = newMetrics(o.Metrics, a.Stats); err != nil {
		return nil, err
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a, nil
}

// Authenticate is the key that a request carries. client is the address that the
// request came from, without a port; it is read only for keys that are not cached.
//
// The error is a *Refused (401), a *GuessesSpent (429), or wraps ErrUnavailable (503).
func (a *Authenticator) Authenticate(ctx context.Context, header http.Header, client string) (*Key, error) {
	key, err := a.authenticate(ctx, header, client)
	a.metrics.authenticated(err)
	return key, err
}

func (a *Authenticator) authenticate(ctx context.Context, header http.Header, client string) (*Key, error) {
	token, refused := parseToken(header["Authorization"])
	if refused != nil {
		return nil, refused
	}
	e, err := a.find(ctx, token.Hash(), client)
	if errors.Is(err, ErrNotFound) {
		return nil, &Refused{Cause: CauseUnknown, KeySent: true}
	}
	if err != nil {
		return nil, err
	}
	if cause := refusal(&e.key, header); cause != "" {
		return nil, &Refused{Cause: cause, KeySent: true, KeyID: e.key.ID}
	}
	return &e.key, nil
}

// refusal is why a key does not hold now, for this request.
func refusal(key *Key, header http.Header) Cause {
	switch {
	case key.Revoked:
		return CauseRevoked
	case !key.ExpiresAt.IsZero() && !time.Now().Before(key.ExpiresAt):
		return CauseExpired
	case key.WorkspaceDisabled:
		return CauseWorkspaceDisabled
	case !hostAllowed(key.AllowedHostnames, header):
		return CauseHostNotAllowed
	}
	return ""
}

// find is the entry of a key, from the cache where that may be used, or
// ErrNotFound.
func (a *Authenticator) find(ctx context.Context, hash Hash, client string) (*entry, error) {
	now := a.now() // once: it costs nearly as much as finding the entry
	cached := a.keys.get(hash, now)
	if cached != nil && a.fresh(cached, now) {
		return cached, nil
	}
	if a.unknown.has(hash, a.epochs.of(hash), now) {
		return nil, ErrNotFound
	}
	if cached == nil {
		return a.lookUp(ctx, hash, client, nil)
	}
	return a.verify(ctx, cached, client, now)
}

// verify asks the store for a key again, and falls back on what is cached where
// that may be used stale. While the store is known to fail nobody waits for it.
func (a *Authenticator) verify(ctx context.Context, cached *entry, client string, now time.Duration) (*entry, error) {
	hash := cached.key.Hash
	if a.usableStale(cached, now) && a.outage.lasts(now) {
		if a.outage.probe(now) {
			a.join(hash, client, true)
		}
		a.metrics.stale.Inc()
		return cached, nil
	}
	found, err := a.lookUp(ctx, hash, client, cached)
	if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
		return found, err
	}
	// Judged again: the key may have been revoked while the store was waited for.
	now = a.now()
	if !a.usableStale(cached, now) {
		return nil, err
	}
	// A busy edge is no outage: it does not prolong what a deaf one promises.
	if errors.Is(err, errBusy) && !a.outage.lasts(now) && now-cached.checked >= deafTrust {
		return nil, err
	}
	a.metrics.stale.Inc()
	return cached, nil
}

// fresh: the store need not be asked.
func (a *Authenticator) fresh(e *entry, now time.Duration) bool {
	trust := a.ttl
	if !a.listening.Load() {
		trust = min(trust, deafTrust)
	}
	return e.epoch == a.epochs.of(e.key.Hash) && now-e.checked < trust
}

// usableStale: where the store cannot answer, the entry may be used all the
// same.
func (a *Authenticator) usableStale(e *entry, now time.Duration) bool {
	return !a.overtaken(e) && now-e.checked < a.stale
}

// overtaken: something happened to the key since the store was asked for it.
func (a *Authenticator) overtaken(e *entry) bool {
	return e.epoch.events != a.epochs.of(e.key.Hash).events
}

// now is the time on the authenticator's clock.
func (a *Authenticator) now() time.Duration { return time.Since(a.start) }

// Notify takes the payload of a hoko_keys notification: what it names is looked
// up again at its next use, and not used before.
func (a *Authenticator) Notify(payload string) { a.epochs.notify(payload) }

// Listening says that LISTEN has been committed, for the first time or again.
// Everything cached is verified again, as notifications may have been missed.
func (a *Authenticator) Listening() {
	a.epochs.listens.Add(1)
	a.listening.Store(true)
}

// Deaf says that notifications may be missed from now on.
func (a *Authenticator) Deaf() { a.listening.Store(false) }

// Stats is the state of the cache, for the admin endpoint.
type Stats struct {
	// Keys and Size: how many keys are cached, and how many can be.
	Keys int `json:"keys"`
	Size int `json:"size"`
	// Unknown keys that are remembered for a moment.
	Unknown int `json:"unknown"`
	// Clients whose guesses are remembered.
	Clients int `json:"clients"`
	// Listening: revocations are heard of as they happen.
	Listening bool `json:"listening"`
	// Outage: the store failed a moment ago, and has not answered since.
	Outage bool `json:"outage"`
}

// Stats is a snapshot.
func (a *Authenticator) Stats() Stats {
	return Stats{
		Keys:      a.keys.len(),
		Size:      a.keys.size,
		Unknown:   a.unknown.len(),
		Clients:   a.guesses.len(),
		Listening: a.listening.Load(),
		Outage:    a.outage.lasts(a.now()),
	}
}

// Close ends the lookups under way, waits for them and empties the cache. What
// comes later, and needs the store, is ErrUnavailable. It may be called at any
// time, and more than once.
func (a *Authenticator) Close() {
	a.flights.close(a.cancel)
	a.keys.close()
}
