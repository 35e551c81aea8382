package explain

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/caddymodule/health"
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
	return answer(w, document)
}

func answer(w http.ResponseWriter, document any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(document)
}

func fail(status int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf(format, args...)}
}

var errNotRunning = fail(http.StatusServiceUnavailable, "no configuration with a hoko block runs")

func explain(r *http.Request) (d Document, err error) {
	subject, value, err := question(r.URL.Query(), "request", "key", "hash")
	if err != nil {
		return d, err
	}
	if subject == "request" {
		event, ok := recent.find(value)
		if !ok {
			return d, notRemembered()
		}
		return Document{Request: &event}, nil
	}
	b := backend.Active()
	if b == nil {
		return d, errNotRunning
	}
	d.Key, err = explainKey(r.Context(), b, subject, value)
	return d, err
}

// storeTimeout bounds how long Postgres may take. Redis has its own timeout.
const storeTimeout = 1500 * time.Millisecond

// parameters has what each parameter of a question must be.
var parameters = map[string]string{
	"request": "?request=<X-Request-Id>",
	"key":     "?key=<id or first characters of a key>",
	"hash":    "?hash=<SHA-256 of a key in hex>",
}

// question returns the one of the parameters that is set, and its value.
func question(query url.Values, names ...string) (subject, value string, err error) {
	for _, name := range names {
		if query.Get(name) == "" {
			continue
		}
		if subject != "" {
			return "", "", fail(http.StatusBadRequest, "ask with one of %s, not several", strings.Join(names, ", "))
		}
		subject, value = name, query.Get(name)
	}
	if subject == "" {
		forms := make([]string, len(names))
		for i, name := range names {
			forms[i] = parameters[name]
		}
		return "", "", fail(http.StatusBadRequest, "ask with %s", strings.Join(forms, " or "))
	}
	return subject, value, nil
}

func notRemembered() error {
	n, oldest := recent.summary()
	kept := "none since its start"
	if n > 0 {
		kept = fmt.Sprintf("%d since %s", n, oldest.UTC().Format(time.RFC3339))
	}
	return fail(http.StatusNotFound, NoSuchRequest+" among the rejected, failed or slow requests that this edge "+
		"remembers (%s): other edges have their own, and the access log has all", kept)
}
