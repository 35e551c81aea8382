package request

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/caddymodule/explain"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/ratelimit"
	"hoko.to/edge/plugin/sale"
)

// StatusClientGone is the status that is logged if the client disconnected before it was answered.
const StatusClientGone = 499

// CauseOf returns the cause of an error of any handler: its status in words.
func CauseOf(status int) string {
	if status == StatusClientGone {
		return "client_gone"
	}
	if text := http.StatusText(status); text != "" {
		return strings.ToLower(strings.ReplaceAll(text, " ", "_"))
	}
	return "status_" + strconv.Itoa(status)
}

// FailedUntracked remembers a request for explanations that fails before a handler tracks it.
func (rec *Record) FailedUntracked(r *http.Request, status int) {
	if !rec.began.IsZero() {
		return
	}
	if rec.part == "" {
		rec.Answered(Site, status)
	}
	rec.began = time.Now()
	rec.since = rec.began
	rec.remember(r, false)
}

// remember keeps the request for explanations if the edge rejected it, if it failed, or if it was
// slow. fromSite is whether the site has answered, whose 4xx and 5xx the edge cannot explain.
func (rec *Record) remember(r *http.Request, fromSite bool) {
	rejected := !fromSite && rec.status >= 400 && rec.status != StatusClientGone
	took := rec.took(fromSite)
	slow := took >= explain.Slow
	if !rejected && !slow || rec.remembered {
		return
	}
	rec.remembered = true
	if rec.part == Limit && rec.status == http.StatusTooManyRequests {
		explain.Deny(rec.keyID, rec.workspaceID, rec.began)
	}
	client, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	e := rec.event(r, took)
	if rejected && e.Cause == "" {
		e.Cause = CauseOf(rec.status)
	}
	explain.Remember(explain.OwnerOf(rec.workspaceID, client, !rejected), &e)
}

// took returns the time of the request, or 0 for a response of the site that has no time.
func (rec *Record) took(fromSite bool) time.Duration {
	switch {
	case rec.site > 0:
		return rec.since.Add(rec.site).Sub(rec.began)
	case fromSite:
		return 0
	case rec.part == Auth, rec.part == Limit: // when they decided, because a clock costs time
		return rec.since.Sub(rec.began)
	}
	return time.Since(rec.began)
}

func (rec *Record) event(r *http.Request, took time.Duration) explain.Event {
	end := rec.began.Add(took).UTC()
	e := explain.Event{
		RequestID: rec.requestID(r), Time: rec.began.UTC(),
		Status: rec.status, Part: string(rec.part), Cause: rec.cause,
		KeyID: rec.keyID, WorkspaceID: rec.workspaceID, KeyFound: rec.found, SaleID: rec.saleID,
		Duration: took.Seconds(), AuthDuration: rec.auth.Seconds(), LimitDuration: rec.limit.Seconds(),
		QueueDuration: rec.queue.Seconds(), CommitDuration: rec.commit.Seconds(), SiteDuration: rec.site.Seconds(),
	}
	if rec.part == Sale && rec.status < http.StatusInternalServerError { // other reasons are errors, with any text
		e.Reason = rec.reason
	}
	if rec.part == Sale && rec.status == http.StatusForbidden {
		e.Required, e.Missing = saleScopes, saleScopes
	}
	if rec.limited.Name != "" {
		e.Limit = newLimit(rec.limited.Name, rec.limited, end)
	}
	if rec.rejection != nil {
		addRejection(&e, rec.rejection, end)
	}
	return e
}

// addRejection adds the details of an error of authentication.
func addRejection(e *explain.Event, err error, end time.Time) {
	if rejected, ok := errors.AsType[*apikey.Rejected](err); ok {
		e.Host = rejected.Host
	} else if lacking, ok := errors.AsType[*apikey.MissingScopes](err); ok {
		e.Required, e.Missing = lacking.Required, lacking.Scopes
	} else if spent, ok := errors.AsType[*apikey.GuessesSpent](err); ok {
		e.Limit = newLimit(explain.GuessesName, ratelimit.Decision{State: ratelimit.State{
			Limit: spent.Limit, ResetAfter: spent.ResetAfter, RetryAfter: spent.RetryAfter,
		}}, end)
	}
}

// saleScopes is what track_sale requires, whatever api_key_auth does.
var saleScopes = []string{sale.Scope}

func newLimit(name string, d ratelimit.Decision, now time.Time) explain.Limit {
	l := explain.Limit{Name: name, Limit: explain.LimitText(d.Limit), Remaining: d.Remaining, Source: d.Source}
	if d.Limit == (limit.Limit{}) {
		return l // without Redis, no limit has decided
	}
	l.FullAt = now.Add(d.ResetAfter)
	if d.RetryAfter > 0 {
		l.AdmitsAt = now.Add(d.RetryAfter)
	}
	return l
}
