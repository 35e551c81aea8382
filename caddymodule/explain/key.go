package explain

import (
	"context"
	"errors"
	"time"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
)

// Key explains what a key may do, according to Postgres and to this edge, and what it was denied.
type Key struct {
	KeyID       string `json:"key_id"`
	WorkspaceID string `json:"workspace_id,omitempty"`

	Postgres Stored `json:"postgres"`
	Cache    Cached `json:"cache"`

	Limits      []backend.Bucket `json:"limits"`
	LimitsError string           `json:"limits_error,omitempty"` // why the state of limits is not known
	Requests    []Event          `json:"requests"`               // at most 20, the newest first
}

// Stored is the key in Postgres, now.
type Stored struct {
	State  string  `json:"state"`           // found, missing or unknown
	Error  string  `json:"error,omitempty"` // why it is unknown: timeout, connection or a SQLSTATE
	Access *Access `json:"access,omitempty"`
}

// States of a Stored and of a Cached.
const (
	StateFound      = "found"
	StateMissing    = "missing"
	StateUnknown    = "unknown"
	StateCached     = "cached"
	StateDue        = "due" // cached, but the next request asks Postgres
	StateNotCached  = "not_cached"
	StateRemembered = "remembered_as_unknown"
)

// Cached is the key in the edge's cache.
type Cached struct {
	State  string  `json:"state"`                 // cached, due, not_cached or remembered_as_unknown
	Age    float64 `json:"age_seconds,omitempty"` // of the last check
	Access *Access `json:"access,omitempty"`
}

// Access is what a key may do.
type Access struct {
	State     string    `json:"state"` // valid, or the cause of its 401: revoked, expired or workspace_disabled
	Scopes    []string  `json:"scopes"`
	Hostnames []string  `json:"allowed_hostnames"` // empty: any
	Limit     LimitText `json:"limit,omitzero"`    // its own or its workspace's
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

func accessOf(key *apikey.Key) *Access {
	a := &Access{
		State: string(key.Invalid(time.Now())), Scopes: key.Scopes.Names(), Hostnames: key.AllowedHostnames,
		Limit: LimitText(key.Limit),
	}
	if a.State == "" {
		a.State = "valid"
	}
	if a.Hostnames == nil {
		a.Hostnames = []string{}
	}
	if !key.ExpiresAt.IsZero() {
		a.ExpiresAt = key.ExpiresAt.UTC()
	}
	return a
}

// explainKey explains the key that a parameter names.
func explainKey(ctx context.Context, b *backend.Backend, subject, value string) (*Key, error) {
	storeCtx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	hash, err := hashOf(storeCtx, b, subject, value)
	switch {
	case errors.Is(err, apikey.ErrNotFound), errors.Is(err, apikey.ErrUnavailable):
		return withoutHash(value, err)
	case err != nil:
		return nil, err
	}
	f, err := findKey(storeCtx, b, hash)
	if err != nil {
		return nil, err
	}
	key := f.key()
	k := &Key{
		KeyID: key.ID, WorkspaceID: key.WorkspaceID, Postgres: without(f.err), Cache: newCached(f.cached),
		Limits: []backend.Bucket{}, Requests: recent.ofKey(key.ID),
	}
	if f.stored != nil {
		k.Postgres = Stored{State: StateFound, Access: accessOf(f.stored)}
	}
	limits, err := b.Buckets(ctx, key)
	switch {
	case err == nil:
		k.Limits = limits
	case !errors.Is(err, backend.ErrNoLimits):
		k.LimitsError = "Redis does not decide, and on_error is deny"
	}
	return k, nil
}

// withoutHash explains a key that is not cached and has been deleted, or Postgres does not answer.
func withoutHash(id string, err error) (*Key, error) {
	requests := recent.ofKey(id)
	if len(requests) == 0 {
		return nil, unknownKey(err)
	}
	return &Key{
		KeyID: id, WorkspaceID: requests[0].WorkspaceID, Postgres: without(err), Cache: Cached{State: StateNotCached},
		Limits: []backend.Bucket{}, Requests: requests,
	}, nil
}

// without returns why Postgres has not returned a key.
func without(err error) Stored {
	if errors.Is(err, apikey.ErrNotFound) {
		return Stored{State: StateMissing}
	}
	return Stored{State: StateUnknown, Error: postgres.ErrorType(err)}
}

func newCached(c *apikey.Cached) Cached {
	switch {
	case c == nil:
		return Cached{State: StateNotCached}
	case c.Key == nil:
		return Cached{State: StateRemembered}
	case c.Due:
		return Cached{StateDue, c.Age.Seconds(), accessOf(c.Key)}
	}
	return Cached{StateCached, c.Age.Seconds(), accessOf(c.Key)}
}
