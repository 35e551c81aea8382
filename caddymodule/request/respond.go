package request

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/plugin/apierror"
)

// SetID sets the X-Request-Id of a response of the edge, regardless of the client's. The ID is
// Caddy's {http.request.uuid}, which the access log shows as uuid.
func SetID(w http.ResponseWriter, r *http.Request) {
	rec := Of(r)
	rec.requestID(r)
	w.Header()["X-Request-Id"] = rec.id[:]
}

// Answered records the status with which a part answers.
func (rec *Record) Answered(part Part, status int) { rec.part, rec.status = part, status }

// Reject answers a request without waiting for its body. The cause goes to the log only.
func Reject(w http.ResponseWriter, r *http.Request, part Part, status int, cause string, write func()) {
	SetID(w, r)
	rec := Of(r)
	rec.Answered(part, status)
	rec.SetCause(cause, "")
	apierror.RespondEarly(w, r, write)
}

// failureCauses holds the causes of the edge's own 5xx, by status.
var failureCauses = map[int]string{
	http.StatusInternalServerError: "failed",
	http.StatusServiceUnavailable:  "unavailable",
	http.StatusGatewayTimeout:      "unknown_outcome",
}

// Fail logs the cause of a 5xx and returns it, for the error routes to answer.
func Fail(w http.ResponseWriter, r *http.Request, part Part, logger *zap.Logger, status int, err error) error {
	SetID(w, r)
	apierror.NoStore(w.Header())
	apierror.SetRetryAfter(w.Header(), status)
	rec := Of(r)
	rec.Answered(part, status)
	rec.SetCause(failureCauses[status], err.Error())
	LogFailure(r, logger, part, status, err)
	return caddyhttp.Error(status, err)
}
