package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/plugin/apierror"
)

// setRequestID sets the X-Request-Id of a response of the edge, regardless of the client's. The ID
// is Caddy's {http.request.uuid}, which the access log shows as uuid.
func setRequestID(w http.ResponseWriter, r *http.Request) {
	id, _ := replacer(r).GetString("http.request.uuid")
	w.Header()["X-Request-Id"] = []string{id}
}

// reject answers a request without waiting for its body. The cause goes to the log only.
func reject(w http.ResponseWriter, r *http.Request, cause string, write func()) {
	setRequestID(w, r)
	logCause(r, cause, "")
	apierror.RespondEarly(w, r, write)
}

// causeVar names the request variable that logCause sets to the cause.
const causeVar = "hoko.cause"

// logCause adds to the request's line in the access log why the request failed. The cause is a word
// from a small set. The reason, if not empty, has the details.
func logCause(r *http.Request, cause, reason string) {
	caddyhttp.SetVar(r.Context(), causeVar, cause)
	logField(r, "cause", cause)
	if reason != "" {
		logField(r, "reason", reason)
	}
}

// failureCauses holds the causes of the edge's own 5xx, by status.
var failureCauses = map[int]string{
	http.StatusInternalServerError: "failed",
	http.StatusServiceUnavailable:  "unavailable",
	http.StatusGatewayTimeout:      "unknown_outcome",
}

// fail logs the cause of a 5xx and returns it, for the error routes to answer. If there are any,
// Caddy itself logs the error only at level DEBUG, and a site may have no access log.
func fail(w http.ResponseWriter, r *http.Request, logger *zap.Logger, status int, cause error) error {
	setRequestID(w, r)
	apierror.NoStore(w.Header())
	apierror.SetRetryAfter(w.Header(), status)
	logCause(r, failureCauses[status], cause.Error())
	// With slog, Caddy would add a stack trace to each error, which fills disks in an outage.
	logger.Error("request failed",
		zap.String("uuid", w.Header().Get("X-Request-Id")), zap.Int("status", status), zap.Error(cause))
	return caddyhttp.Error(status, cause)
}

// logField adds a field to the request's line in the access log, and to its other lines in the log.
func logField(r *http.Request, name, value string) {
	if fields, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Set(zap.String(name, value))
	}
}

func replacer(r *http.Request) *caddy.Replacer {
	return r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
}
