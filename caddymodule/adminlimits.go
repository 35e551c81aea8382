package caddymodule

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/ratelimit"
)

// keyLimits answers GET /hoko/limits and POST /hoko/limits/reset.
type keyLimits struct {
	KeyID       string           `json:"key_id"`
	WorkspaceID string           `json:"workspace_id"`
	Limits      []backend.Bucket `json:"limits"` // by name
}

// limitRoutes are the routes of the admin endpoint that show and reset the buckets of the key in
// ?key=<id or first characters> or ?hash=<SHA-256 in hex>.
func limitRoutes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/hoko/limits", Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			return serveLimits(w, r, http.MethodGet, (*backend.Backend).Buckets)
		})},
		{Pattern: "/hoko/limits/reset", Handler: caddy.AdminHandlerFunc(resetLimits)},
	}
}

func resetLimits(w http.ResponseWriter, r *http.Request) error {
	return serveLimits(w, r, http.MethodPost,
		func(b *backend.Backend, ctx context.Context, key *apikey.Key) ([]backend.Bucket, error) {
			buckets, err := b.ResetBuckets(ctx, key)
			if err == nil {
				caddy.Log().Named("admin.api.hoko").Info("the limits of a key were reset", zap.String("key_id", key.ID))
			}
			return buckets, err
		})
}

// limitsTimeout bounds how long Postgres may take to find a key.
const limitsTimeout = 3 * time.Second

func serveLimits(w http.ResponseWriter, r *http.Request, method string,
	do func(*backend.Backend, context.Context, *apikey.Key) ([]backend.Bucket, error),
) error {
	if r.Method != method {
		w.Header().Set("Allow", method)
		return apiError(http.StatusMethodNotAllowed, errors.New("method not allowed"))
	}
	b := backend.Active()
	if b == nil {
		return apiError(http.StatusServiceUnavailable, errors.New("no configuration with a hoko block runs"))
	}
	ctx, cancel := context.WithTimeout(r.Context(), limitsTimeout)
	defer cancel()
	key, err := keyOf(ctx, b, r.URL.Query().Get("key"), r.URL.Query().Get("hash"))
	if err != nil {
		return err
	}
	limits, err := do(b, ctx, key)
	switch {
	case errors.Is(err, backend.ErrNoLimits):
		return apiError(http.StatusNotFound, err)
	case errors.Is(err, ratelimit.ErrUnavailable):
		return apiError(http.StatusServiceUnavailable, fmt.Errorf("redis does not answer: %w", err))
	case err != nil:
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(keyLimits{key.ID, key.WorkspaceID, limits})
}

func apiError(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

// keyOf returns the key that the parameters name, from Postgres or, if it does not answer, from the
// cache. Errors contain no parameter, because it may be a key.
func keyOf(ctx context.Context, b *backend.Backend, which, hexHash string) (key *apikey.Key, err error) {
	var hash apikey.Hash
	switch {
	case (which == "") == (hexHash == ""):
		return nil, apiError(http.StatusBadRequest, errors.New("name one key, with key=<id or first characters> "+
			"or hash=<SHA-256 in hex>"))
	case which != "":
		hash, err = b.FindKey(ctx, which)
	default:
		decoded, err := hex.DecodeString(hexHash)
		if err != nil || len(decoded) != len(hash) {
			return nil, apiError(http.StatusBadRequest, errors.New("hash is not a SHA-256 in hex"))
		}
		hash = apikey.Hash(decoded)
	}
	if err == nil {
		key, err = b.StoredKey(ctx, hash)
	}
	if err == nil {
		return key, nil
	}
	if _, ok := errors.AsType[*keys.AmbiguousError](err); ok {
		return nil, apiError(http.StatusBadRequest, err)
	}
	if errors.Is(err, apikey.ErrNotFound) {
		return nil, apiError(http.StatusNotFound, errors.New("no such key: caddy hoko keys list shows all"))
	}
	if id, ok := b.Keys.CachedID(which); ok && which != "" {
		hash = id
	}
	if cached, known := b.Keys.Cached(hash); known && cached.Key != nil {
		return cached.Key, nil
	}
	return nil, apiError(http.StatusServiceUnavailable, fmt.Errorf("postgres does not answer (%s), and this edge "+
		"has not cached a key with this id or SHA-256", postgres.ErrorType(err)))
}
