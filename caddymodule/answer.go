package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/plugin/apierror"
)

// markOwn gives the edge's own response an X-Request-Id, regardless of the client's. The ID is
// Caddy's, which the access log shows as uuid.
func markOwn(w http.ResponseWriter, r *http.Request) {
	id, _ := replacer(r).GetString("http.request.uuid")
	w.Header()["X-Request-Id"] = []string{id}
}

// refuse answers a request without reading its body. The cause goes to the log only.
func refuse(w http.ResponseWriter, r *http.Request, cause string, write func()) {
	markOwn(w, r)
	logCause(r, cause, "")
	apierror.RespondEarly(w, r, write)
}

// causeVar is the variable of a request that holds the cause in its line in the access log.
const causeVar = "hoko.cause"

// logCause adds to the request's line in the access log why it was not answered as asked: cause is
// one of a few words, and reason, unless it is "", says more.
func logCause(r *http.Request, cause, reason string) {
	caddyhttp.SetVar(r.Context(), causeVar, cause)
	logField(r, "cause", cause)
	if reason != "" {
		logField(r, "reason", reason)
	}
}

// failures are the causes of the 5xx of the edge's own.
var failures = map[int]string{
	http.StatusInternalServerError: "failed",
	http.StatusServiceUnavailable:  "unavailable",
	http.StatusGatewayTimeout:      "unknown_outcome",
}

// fail logs the cause of a 5xx and returns it for the error routes, which log it only at debug
// level once they have answered it. A site may have no access log.
func fail(w http.ResponseWriter, r *http.Request, logger *zap.Logger, status int, cause error) error {
	markOwn(w, r)
	apierror.NoStore(w.Header())
	apierror.SetRetryAfter(w.Header(), status)
	logCause(r, failures[status], cause.Error())
	// Not slog: with it, Caddy adds a stack trace to each error, which fills disks in an outage of
	// Postgres.
	logger.Error("request failed",
		zap.String("uuid", w.Header().Get("X-Request-Id")), zap.Int("status", status), zap.Error(cause))
	return caddyhttp.Error(status, cause)
}

// logField adds a field to the request's line in the access log and to the handlers' log lines
// about it.
func logField(r *http.Request, name, value string) {
	if fields, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Set(zap.String(name, value))
	}
}

func replacer(r *http.Request) *caddy.Replacer {
	return r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
}
