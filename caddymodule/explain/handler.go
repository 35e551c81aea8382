package explain

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/caddymodule/health"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres/keys"
)

// Document answers GET /hoko/explain. One of its members is set.
type Document struct {
	Request *Event `json:"request,omitempty"`
	Key     *Key   `json:"key,omitempty"`
}

// Serve answers ?request=<id>, ?key=<id or first characters> or ?hash=<SHA-256 in hex>.
func Serve(w http.ResponseWriter, r *http.Request) error {
	if !health.Allowed(r.Method) {
		w.Header().Set("Allow", health.Allow)
		return fail(http.StatusMethodNotAllowed, "method not allowed")
	}
	document, err := explain(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(document)
}

func fail(status int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf(format, args...)}
}

func explain(r *http.Request) (d Document, err error) {
	subject, value, err := question(r.URL.Query())
	if err != nil {
		return d, err
	}
	if subject == "request" {
		event, ok := recent.find(value)
		if !ok {
			return d, notRemembered("no such request")
		}
		return Document{Request: &event}, nil
	}
	b := backend.Active()
	if b == nil {
		return d, fail(http.StatusServiceUnavailable, "no configuration with a hoko block runs")
	}
	d.Key, err = explainKey(r.Context(), b, subject, value)
	return d, err
}

// question returns the parameter that is set and its value.
func question(query url.Values) (subject, value string, err error) {
	for _, name := range []string{"request", "key", "hash"} {
		if query.Get(name) == "" {
			continue
		}
		if subject != "" {
			return "", "", fail(http.StatusBadRequest, "ask with one of request, key and hash, not with several")
		}
		subject, value = name, query.Get(name)
	}
	if subject == "" {
		return "", "", fail(http.StatusBadRequest, "ask with ?request=<X-Request-Id>, "+
			"?key=<id or first characters of a key> or ?hash=<SHA-256 of a key in hex>")
	}
	return subject, value, nil
}

func notRemembered(what string) error {
	n, oldest := recent.summary()
	kept := "none since its start"
	if n > 0 {
		kept = fmt.Sprintf("%d since %s", n, oldest.UTC().Format(time.RFC3339))
	}
	return fail(http.StatusNotFound, "%s among the rejected, failed or slow requests that this edge remembers (%s): "+
		"other edges have their own, and the access log has all", what, kept)
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
