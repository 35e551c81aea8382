package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/plugin/apierror"
)

// markOwn gives an answer of the edge's own what all of them have: an
// X-Request-Id, whatever the client called its request, and no place in caches.
func markOwn(w http.ResponseWriter, r *http.Request) {
	id, _ := replacer(r).GetString("http.request.uuid")
	logField(r, "request_id", id)
	header := w.Header()
	header.Set("X-Request-Id", id)
	header.Set("Cache-Control", "no-store")
}

// refuse answers a request for whose body nobody waits. The cause goes to the
// log only.
func refuse(w http.ResponseWriter, r *http.Request, cause string, write func()) {
	markOwn(w, r)
	logField(r, "cause", cause)
	apierror.Refuse(w, r, write)
}

// fail logs the cause of a 5xx and hands it to the error routes. They log it
// only for debugging once they have answered it.
func fail(w http.ResponseWriter, r *http.Request, logger *zap.Logger, status int, cause error) error {
	markOwn(w, r)
	// Not slog: with it Caddy adds a stack trace to each error, which in an outage of Postgres fills disks.
	logger.Error("request failed", zap.String("request_id", w.Header().Get("X-Request-Id")), zap.Int("status", status), zap.Error(cause))
	return caddyhttp.Error(status, cause)
}

// logField adds a field to the request's line in the access log, and to what
// our handlers log about it.
func logField(r *http.Request, name, value string) {
	if fields, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Set(zap.String(name, value))
	}
}

func replacer(r *http.Request) *caddy.Replacer {
	return r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
}
