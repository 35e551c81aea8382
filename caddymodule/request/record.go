// Package request records what the edge does with a request, for its line in the access log and for
// the metrics of HTTP, and writes the edge's own responses.
package request

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/ratelimit"
	"hoko.to/edge/plugin/sale"
)

// Record is what the access log says about a request in addition to what Caddy says about all. Only
// the goroutine that serves the request uses it.
type Record struct {
	id                 [1]string // Caddy's, as the value of a header field
	keyID, workspaceID string
	found              apikey.Found
	rejection          error // of authentication, nil if the key is valid
	cause, reason      string
	limited            ratelimit.Decision
	replayed           bool
	saleID             string
	attribution        sale.Attribution

	part   Part      // that has answered or failed, "" before
	status int       // of part's response
	since  time.Time // when the current part began
	began  time.Time // zero if the request is not tracked

	auth, limit, queue, commit, site time.Duration

	depth      int  // of handlers that track the request
	counted    bool // in the metrics, once depth was 0
	remembered bool // for explanations, if necessary
	recorder   caddyhttp.ResponseRecorder
}

// recordVar names the request variable that holds the Record.
const recordVar = "hoko.record"

// Of returns the record of a request.
func Of(r *http.Request) *Record {
	if rec, ok := caddyhttp.GetVar(r.Context(), recordVar).(*Record); ok {
		return rec
	}
	rec := new(Record)
	caddyhttp.SetVar(r.Context(), recordVar, rec)
	if fields, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Add(zap.Inline(rec)) // Set would replace the inline field of another module
	}
	return rec
}

// requestID returns Caddy's {http.request.uuid}, which is in the access log from then on.
func (rec *Record) requestID(r *http.Request) string {
	if rec.id[0] == "" {
		rec.id[0], _ = replacer(r).GetString("http.request.uuid")
	}
	return rec.id[0]
}

// SetCause records why the request was not answered as asked. The cause is a word from a small set.
// The reason, if not empty, has the details.
func (rec *Record) SetCause(cause, reason string) { rec.cause, rec.reason = cause, reason }

// HasCause reports whether SetCause has been called.
func (rec *Record) HasCause() bool { return rec.cause != "" }

// SetKey records the key of the request, which is valid or lacks only scopes.
func (rec *Record) SetKey(r *http.Request, key *apikey.Key) {
	rec.keyID, rec.workspaceID = key.ID, key.WorkspaceID
	replacer(r).Set("http.auth.user.id", key.ID)
}

// SetRejection records why authentication rejected the request, with the IDs of a key that is not
// valid and of its workspace.
func (rec *Record) SetRejection(err error) {
	rec.rejection = err
	if rejected, ok := errors.AsType[*apikey.Rejected](err); ok {
		rec.keyID, rec.workspaceID = rejected.KeyID, rejected.WorkspaceID
	}
}

// SetLimit records the decision of a redis_rate_limit, and when it began and ended. If there are
// several, the log shows the last decision and the time of all.
func (rec *Record) SetLimit(decision ratelimit.Decision, start, end time.Time) {
	rec.limited = decision
	rec.limit += end.Sub(start)
	rec.since = end
}

// SetSale records what became of a sale.
func (rec *Record) SetSale(outcome sale.Outcome) {
	rec.queue, rec.commit = outcome.Timing.Queue, outcome.Timing.Commit
	rec.saleID = outcome.SaleID
	if outcome.Recorded != nil {
		rec.attribution, rec.replayed = outcome.Recorded.Attribution, outcome.Recorded.Replayed
	}
}

// MarshalLogObject adds the fields that are known. docs/operations.md lists them.
func (rec *Record) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	addText(enc, "key_id", rec.keyID)
	addText(enc, "workspace_id", rec.workspaceID)
	addText(enc, "decision", rec.decision())
	addText(enc, "cause", rec.cause)
	addText(enc, "reason", rec.reason)
	if !rec.limited.Allowed || rec.limited.All != nil {
		addText(enc, "limit_name", rec.limited.Name)
	}
	addText(enc, "limit_source", string(rec.limited.Source))
	if rec.limited.Evaluated {
		enc.AddInt("limit_remaining", rec.limited.Remaining)
	}
	addText(enc, "sale_id", rec.saleID)
	addText(enc, "attribution", string(rec.attribution))
	if rec.replayed {
		enc.AddBool("replayed", true)
	}
	addTime(enc, "auth_duration", rec.auth)
	addTime(enc, "limit_duration", rec.limit)
	addTime(enc, "queue_duration", rec.queue)
	addTime(enc, "commit_duration", rec.commit)
	addTime(enc, "site_duration", rec.site)
	return nil
}

// decision returns what the edge decided: admitted, rejected (4xx) or failed (5xx), and "" for a
// request that needs no key.
func (rec *Record) decision() string {
	switch {
	case rec.part == "", rec.part == Site && rec.keyID == "":
		return ""
	case rec.part == Site || rec.status < 400:
		return "admitted"
	case rec.status < 500:
		return "rejected"
	}
	return "failed"
}

func addText(enc zapcore.ObjectEncoder, name, text string) {
	if text != "" {
		enc.AddString(name, text)
	}
}

func addTime(enc zapcore.ObjectEncoder, name string, d time.Duration) {
	if d > 0 {
		enc.AddDuration(name, d)
	}
}

func replacer(r *http.Request) *caddy.Replacer {
	return r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
}
