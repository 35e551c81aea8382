// Package request records what the edge does with a request, for its line in the access log and for
// the metrics of HTTP, and writes the edge's own responses.
package request

import (
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
	keyID, workspaceID string
	cause, reason      string
	limit              ratelimit.Decision
	saleID             string
	attribution        sale.Attribution

	part     Part      // that has answered or failed, "" before
	status   int       // of part's response
	passedOn time.Time // to the next handler

	auth, rateLimit, queue, commit, site time.Duration

	depth    int // of handlers that track the request
	recorder caddyhttp.ResponseRecorder
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
		fields.Set(zap.Inline(rec))
	}
	return rec
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

// SetRejectedKey records the ID of a key that is not valid.
func (rec *Record) SetRejectedKey(id string) { rec.keyID = id }

// SetLimit records the decision about the request's rate limit, and how long it took.
func (rec *Record) SetLimit(decision ratelimit.Decision, took time.Duration) {
	rec.limit, rec.rateLimit = decision, took
}

// SetSale records what became of a sale.
func (rec *Record) SetSale(outcome sale.Outcome) {
	rec.queue, rec.commit = outcome.Timing.Queue, outcome.Timing.Commit
	if outcome.Recorded != nil {
		rec.saleID, rec.attribution = outcome.Recorded.SaleID.String(), outcome.Recorded.Attribution
	}
}

// SetSaleID records the ID of a sale with an unknown outcome.
func (rec *Record) SetSaleID(id string) { rec.saleID = id }

// MarshalLogObject adds the fields that are known. docs/operations.md lists them.
func (rec *Record) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	addText(enc, "key_id", rec.keyID)
	addText(enc, "workspace_id", rec.workspaceID)
	addText(enc, "decision", rec.decision())
	addText(enc, "cause", rec.cause)
	addText(enc, "reason", rec.reason)
	addText(enc, "limit_source", string(rec.limit.Source))
	if rec.limit.Evaluated {
		enc.AddInt("limit_remaining", rec.limit.Remaining)
	}
	addText(enc, "sale_id", rec.saleID)
	addText(enc, "attribution", string(rec.attribution))
	addTime(enc, "auth_duration", rec.auth)
	addTime(enc, "limit_duration", rec.rateLimit)
	addTime(enc, "queue_duration", rec.queue)
	addTime(enc, "commit_duration", rec.commit)
	addTime(enc, "site_duration", rec.site)
	return nil
}

// decision returns what the edge decided: admitted, rejected (4xx) or failed (5xx), and "" for a
// request that needs no key.
func (rec *Record) decision() string {
	switch {
	case rec.part == "", rec.part == Site && rec.passedOn.IsZero():
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
