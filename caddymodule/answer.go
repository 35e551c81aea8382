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
// The id is Caddy's, which writes it into the access log as uuid.
func markOwn(w http.ResponseWriter, r *http.Request) {
	id, _ := replacer(r).GetString("http.request.uuid")
	header, values := w.Header(), [...]string{id, "no-store"}
	header["X-Request-Id"] = values[0:1:1]
	header["Cache-Control"] = values[1:2:2]
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
	logger.Error("request failed", zap.String("uuid", w.Header().Get("X-Request-Id")), zap.Int("status", status), zap.Error(cause))
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
