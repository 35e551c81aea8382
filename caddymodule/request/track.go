package request

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/metric"
	"hoko.to/edge/plugin/tracing"
)

// Part is a part of the edge that answers requests.
type Part string

// The parts.
const (
	Auth  Part = "auth"
	Limit Part = "limit"
	Sale  Part = "sale"
	Site  Part = "site" // any handler that is not the edge's, such as reverse_proxy
)

var (
	inFlight = metric.Share(backend.Metrics, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "hoko_http_requests_in_flight",
		Help: "Requests that request_fields or api_key_auth has received and that are not answered.",
	}))
	siteTime = metric.Histogram(backend.Metrics, "hoko_site_seconds",
		"Time in the site of a request that api_key_auth has admitted.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30})
	responses = newResponses()
)

// classes are the status classes, from 1xx on.
var classes = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

func newResponses() map[Part]*[len(classes)]prometheus.Counter {
	vec := metric.Share(backend.Metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_http_responses_total",
		Help: "Responses by the part that answered and status class, to requests that request_fields or " +
			"api_key_auth has received.",
	}, []string{"part", "class"}))
	counters := map[Part]*[len(classes)]prometheus.Counter{}
	for _, part := range []Part{Auth, Limit, Sale, Site} {
		counters[part] = new([len(classes)]prometheus.Counter)
		for i, class := range classes {
			counters[part][i] = vec.WithLabelValues(string(part), class)
		}
	}
	return counters
}

// Begin starts to track a request, which must End even if a handler panics. It returns the record
// and the ResponseWriter to use from now on. A nested call only restarts the time of auth.
func Begin(w http.ResponseWriter, r *http.Request) (*Record, http.ResponseWriter) {
	rec := Of(r)
	rec.since = time.Now()
	rec.depth++
	if rec.depth > 1 {
		return rec, w
	}
	inFlight.Inc()
	rec.began = rec.since
	rec.recorder = findRecorder(w)
	if rec.recorder == nil {
		rec.recorder = caddyhttp.NewResponseRecorder(w, nil, nil)
		w = rec.recorder
	}
	return rec, w
}

// findRecorder returns the recorder with which Caddy logs the request, or nil.
func findRecorder(w http.ResponseWriter) caddyhttp.ResponseRecorder {
	for {
		switch inner := w.(type) {
		case caddyhttp.ResponseRecorder:
			return inner
		case interface{ Unwrap() http.ResponseWriter }:
			w = inner.Unwrap()
		default:
			return nil
		}
	}
}

// Authenticated records the end of authentication, and where the key was found.
func (rec *Record) Authenticated(r *http.Request, found apikey.Found, now time.Time) {
	rec.requestID(r)
	rec.found = found
	rec.auth += now.Sub(rec.since)
	rec.since = now
}

// ErrPanicked stands for the result of handlers that panic.
var ErrPanicked = errors.New("a handler panicked")

// End counts the response, or the error that the handlers have returned, but not also the response
// to that error if an error route tracks the request again.
func (rec *Record) End(r *http.Request, err error) {
	if rec.depth--; rec.depth > 0 {
		return
	}
	inFlight.Dec()
	if rec.counted {
		return
	}
	rec.counted = true
	fromSite := rec.part == "" && (err == nil || rec.recorder.Status() >= 200)
	if rec.part == "" {
		rec.endSite(statusOf(rec.recorder, err))
	}
	// No status is below 100, and clients treat those above 599 as 5xx (RFC 9110, section 15).
	responses[rec.part][min(max(rec.status/100, 1), len(classes))-1].Inc()
	rec.remember(r, fromSite)
}

// endSite records the site's response, with its time if a key was required. A connection that has
// become a tunnel, such as a WebSocket, has no time.
func (rec *Record) endSite(status int) {
	rec.part, rec.status = Site, status
	if rec.keyID == "" || status == http.StatusSwitchingProtocols {
		return
	}
	rec.site = time.Since(rec.since)
	siteTime.Observe(rec.site.Seconds())
}

// statusOf returns the status that the client got or, if nothing was written, that of the error.
func statusOf(recorder caddyhttp.ResponseRecorder, err error) int {
	status := recorder.Status()
	switch {
	case status >= 200 || status == http.StatusSwitchingProtocols:
		return status
	case err != nil:
		return errorStatus(err)
	}
	return http.StatusOK // net/http writes it for handlers that write nothing
}

// errorStatus returns the status with which Caddy answers an error.
func errorStatus(err error) int {
	if failed, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		return cmp.Or(failed.StatusCode, http.StatusInternalServerError)
	}
	return http.StatusInternalServerError
}

// FailSpan marks the span of a request as failed if err leads to a 5xx.
func FailSpan(span tracing.Span, err error) {
	if status := errorStatus(err); status >= http.StatusInternalServerError {
		span.Fail(strconv.Itoa(status))
	}
}
