package explain

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/ratelimit"
)

// Limits answers GET /hoko/limits and POST /hoko/limits/reset.
type Limits struct {
	KeyID       string           `json:"key_id"`
	WorkspaceID string           `json:"workspace_id"`
	Limits      []backend.Bucket `json:"limits"` // by name
}

// ServeLimits answers with the buckets of the key in ?key=<id or first characters> or
// ?hash=<SHA-256 in hex>.
func ServeLimits(w http.ResponseWriter, r *http.Request) error {
	return serveLimits(w, r, http.MethodGet, (*backend.Backend).Buckets)
}

// ServeReset makes the buckets of a key full, and answers like ServeLimits.
func ServeReset(w http.ResponseWriter, r *http.Request) error {
	return serveLimits(w, r, http.MethodPost,
		func(b *backend.Backend, ctx context.Context, key *apikey.Key) ([]backend.Bucket, error) {
			buckets, err := b.ResetBuckets(ctx, key)
			if err == nil {
				caddy.Log().Named("admin.api.hoko").Info("the limits of a key were reset", zap.String("key_id", key.ID))
			}
			return buckets, err
		})
}

func serveLimits(w http.ResponseWriter, r *http.Request, method string,
	do func(*backend.Backend, context.Context, *apikey.Key) ([]backend.Bucket, error),
) error {
	if r.Method != method {
		w.Header().Set("Allow", method)
		return fail(http.StatusMethodNotAllowed, "method not allowed")
	}
	subject, value, err := question(r.URL.Query(), "key", "hash")
	if err != nil {
		return err
	}
	b := backend.Active()
	if b == nil {
		return errNotRunning
	}
	storeCtx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	hash, err := hashOf(storeCtx, b, subject, value)
	if errors.Is(err, apikey.ErrNotFound) || errors.Is(err, apikey.ErrUnavailable) {
		return unknownKey(err)
	}
	if err != nil {
		return err
	}
	f, err := findKey(storeCtx, b, hash)
	if err != nil {
		return err
	}
	limits, err := do(b, r.Context(), f.key())
	switch {
	case errors.Is(err, backend.ErrNoLimits):
		return fail(http.StatusNotFound, "%w", err)
	case errors.Is(err, ratelimit.ErrUnavailable):
		return fail(http.StatusServiceUnavailable, "Redis does not answer: %w", err)
	case err != nil:
		return fmt.Errorf("read the limits of a key: %w", err)
	}
	return answer(w, Limits{f.key().ID, f.key().WorkspaceID, limits})
}
