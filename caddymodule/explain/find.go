package explain

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/keys"
)

// found is a key according to Postgres and to the cache of the edge.
type found struct {
	stored *apikey.Key
	err    error          // why stored is nil
	cached *apikey.Cached // nil if the cache knows nothing of the key
}

// key returns the key of Postgres or, if it has none, that of the cache.
func (f found) key() *apikey.Key {
	if f.cached == nil {
		return f.stored
	}
	return cmp.Or(f.stored, f.cached.Key)
}

// findKey returns the key with a hash, or an error if neither Postgres nor the cache has it.
func findKey(ctx context.Context, b *backend.Backend, hash apikey.Hash) (f found, err error) {
	f.stored, f.err = b.StoredKey(ctx, hash)
	if cached, known := b.Keys.Cached(hash); known {
		f.cached = &cached
	}
	if f.key() == nil {
		return f, unknownKey(f.err)
	}
	return f, nil
}

// hashOf returns the hash that a parameter names. Its error is ErrNotFound if Postgres has no such
// key, and wraps apikey.ErrUnavailable if it does not answer and the key is not cached.
func hashOf(ctx context.Context, b *backend.Backend, subject, value string) (hash apikey.Hash, err error) {
	if subject == "hash" {
		if n, err := hex.Decode(hash[:], []byte(value[:min(len(value), 2*len(hash))])); err != nil ||
			n != len(hash) || len(value) != 2*len(hash) {
			return hash, fail(http.StatusBadRequest, "hash is not a SHA-256 in hex")
		}
		return hash, nil
	}
	hash, err = b.FindKey(ctx, value)
	if err == nil {
		return hash, nil
	}
	if ambiguous, ok := errors.AsType[*keys.AmbiguousError](err); ok {
		return hash, fail(http.StatusBadRequest, "%w", ambiguous)
	}
	if cached, ok := b.Keys.CachedID(value); ok { // deleted in Postgres, or Postgres does not answer
		return cached, nil
	}
	if errors.Is(err, apikey.ErrNotFound) {
		return hash, err
	}
	return hash, fmt.Errorf("%w: %w", apikey.ErrUnavailable, err)
}

// How the text of a 404 begins if there is no such key or request. Clients distinguish it by that
// from the 404 of other servers.
const (
	NoSuchKey     = "no such key in Postgres or in the cache of this edge"
	NoSuchRequest = "no such request"
)

func unknownKey(err error) error {
	if errors.Is(err, apikey.ErrNotFound) {
		return fail(http.StatusNotFound, NoSuchKey+": caddy hoko keys list shows all")
	}
	return fail(http.StatusServiceUnavailable, "Postgres does not answer (%s), and this edge has no such key in its "+
		"cache: see caddy hoko doctor", postgres.ErrorType(err))
}
