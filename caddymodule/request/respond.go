package request

import (
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/plugin/apierror"
)

// SetID sets the X-Request-Id of a response of the edge, regardless of the client's. The ID is
// Caddy's {http.request.uuid}, which the access log shows as uuid.
func SetID(w http.ResponseWriter, r *http.Request) {
	id, _ := replacer(r).GetString("http.request.uuid")
	w.Header()["X-Request-Id"] = []string{id}
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

// maxFailures is how many failures of a part with the same status are logged in a second. All of
// them are in the access log, which a site may not have.
const maxFailures = 10

// failures bounds the lines about failures, by part and status.
var failures = struct {
	sync.Mutex
	bounds map[Part]map[int]*bound
}{bounds: map[Part]map[int]*bound{}}

// bound counts the failures of the current second.
type bound struct {
	since   time.Time
	logged  int
	omitted int // since the last line
}

// LogFailure logs the cause of a 5xx at level ERROR: if there are error routes, Caddy itself logs it
// only at level DEBUG.
func LogFailure(r *http.Request, logger *zap.Logger, part Part, status int, err error) {
	omitted, due := dueFailure(part, status, time.Now())
	if !due {
		return
	}
	id, _ := replacer(r).GetString("http.request.uuid")
	// With slog, Caddy would add a stack trace to each error, which fills disks in an outage.
	fields := []zap.Field{zap.String("uuid", id), zap.Int("status", status), zap.Error(err)}
	if omitted > 0 {
		fields = append(fields, zap.Int("omitted", omitted))
	}
	logger.Error("request failed", fields...)
}

// dueFailure reports whether to log a failure, and how many were not logged since the last line.
func dueFailure(part Part, status int, now time.Time) (omitted int, due bool) {
	failures.Lock()
	defer failures.Unlock()
	byStatus := failures.bounds[part]
	if byStatus == nil {
		byStatus = map[int]*bound{}
		failures.bounds[part] = byStatus
	}
	b := byStatus[status]
	if b == nil {
		b = new(bound)
		byStatus[status] = b
	}
	if now.Sub(b.since) >= time.Second {
		b.since, b.logged = now, 0
	}
	if b.logged == maxFailures {
		b.omitted++
		return 0, false
	}
	omitted, b.omitted = b.omitted, 0
	b.logged++
	return omitted, true
}
