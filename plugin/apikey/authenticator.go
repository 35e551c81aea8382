package apikey

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Authenticator decides which key a request carries and whether the key is valid. It is safe for
// concurrent use.
type Authenticator struct {
	lookups *lookups
	metrics *metrics
}

// New returns an Authenticator over store. It neither dials nor starts a goroutine. Until the first
// Listening, keys are trusted for a few seconds only.
func New(store Store, o Options) (*Authenticator, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	a := &Authenticator{metrics: newMetrics(o.Metrics)}
	if a.lookups, err = newLookups(store, o, a.metrics); err != nil {
		return nil, err
	}
	registerGauges(o.Metrics, a.Stats)
	return a, nil
}

// Authenticate returns the key that a request carries. client is the address that the request came
// from, without a port; it is read only for keys that are not cached. The key has the required
// scopes.
//
// The error is a *Rejected (401), a *MissingScopes (403), a *GuessesSpent (429), or wraps
// ErrUnavailable (503).
func (a *Authenticator) Authenticate(
	ctx context.Context, header http.Header, client string, required Required,
) (*Key, error) {
	key, err := a.authenticate(ctx, header, client)
	if err == nil {
		if missing := required.Missing(key.Scopes); missing != nil {
			key, err = nil, &MissingScopes{Key: key, Scopes: missing}
		}
	}
	a.metrics.authenticated(ctx, err)
	return key, err
}

// CountEarlyData counts a request that is answered 425, before its key is looked at.
func (a *Authenticator) CountEarlyData() { a.metrics.earlyData.Inc() }

func (a *Authenticator) authenticate(ctx context.Context, header http.Header, client string) (*Key, error) {
	token, rejected := parseToken(header["Authorization"])
	if rejected != nil {
		return nil, rejected
	}
	e, err := a.lookups.find(ctx, token.Hash(), client)
	if errors.Is(err, ErrNotFound) {
		return nil, &Rejected{Cause: CauseUnknown, KeySent: true}
	}
	if err != nil {
		return nil, err
	}
	if cause := check(&e.key, header); cause != "" {
		return nil, &Rejected{Cause: cause, KeySent: true, KeyID: e.key.ID}
	}
	return &e.key, nil
}

// check returns why a key is not valid now, for this request; "" if it is.
func check(key *Key, header http.Header) Cause {
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

// Notify takes the payload of a hoko_keys notification: what it names is looked up again at its next
// use, and not used before.
func (a *Authenticator) Notify(payload string) { a.lookups.epochs.notify(payload) }

// Listening says that LISTEN has been committed, for the first time or again. Everything cached is
// verified again, as notifications may have been missed.
func (a *Authenticator) ListenerUp() {
	a.lookups.epochs.advance(&a.lookups.epochs.listens)
	a.lookups.listening.Store(true)
}

// Deaf says that notifications may be missed from now on.
func (a *Authenticator) ListenerDown() { a.lookups.listening.Store(false) }

// Stats is the state of the cache, for the admin endpoint.
type Stats struct {
	// Keys and Size are how many keys are cached, and how many ordinary ones can be.
	Keys int `json:"keys"`
	Size int `json:"size"`
	// Unknown is how many unknown keys are remembered for a moment.
	Unknown int `json:"unknown"`
	// Clients is how many clients have guesses that are remembered.
	Clients int `json:"clients"`
	// Listening is whether notifications of revocations are received.
	Listening bool `json:"listening"`
	// Outage is whether the store failed a moment ago, and has not answered since.
	Outage bool `json:"outage"`
}

// Stats returns a snapshot.
func (a *Authenticator) Stats() Stats {
	l := a.lookups
	return Stats{
		Keys:      l.keys.len(),
		Size:      l.keys.size,
		Unknown:   l.unknown.len(),
		Clients:   l.guesses.len(),
		Listening: l.listening.Load(),
		Outage:    l.outage.lasts(l.now()),
	}
}

// Close cancels the lookups in flight, waits for them and empties the cache. Later requests that need
// the store fail with ErrUnavailable. It may be called at any time, and more than once.
func (a *Authenticator) Close() { a.lookups.close() }
