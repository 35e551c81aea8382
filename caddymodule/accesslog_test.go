package caddymodule

import (
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
)

const loggedRoutes = `
	api_key_auth /api/track/sale {
		scopes conversionsWrite
	}
	redis_rate_limit /api/track/sale {
		limit 7/1h
	}
	track_sale /api/track/sale
	api_key_auth /any-scope
	track_sale /any-scope
	error /method 405
	error /lost "no such page" 404
	error /long "too long" 413
	redis_rate_limit /unverified {
		limit 5/1h
		name unverified
	}
	reverse_proxy 127.0.0.1:1
	handle_errors {
		api_errors
	}`

// line returns the access log's line of an answer. It fails the test if a field occurs twice, or if
// the answer has another line that is not an error.
func (e *testEdge) line(got answer) map[string]any {
	e.t.Helper()
	id := got.header.Get("X-Request-Id")
	line := written.await(e.t, "handled request", "uuid", id)
	for _, text := range written.all() {
		if !strings.Contains(text, id) {
			continue
		}
		if strings.Count(text, `"workspace_id"`) > 1 || strings.Count(text, `"cause"`) > 1 {
			e.t.Errorf("a field occurs twice: %s", text)
		}
		if !strings.Contains(text, `"handled request"`) && !strings.Contains(text, `"level":"error"`) {
			e.t.Errorf("another line: %s", text)
		}
	}
	return line
}

func TestAccessLog_HoldsCauseAndReason(t *testing.T) {
	e := startEdge(t, loggedRoutes)
	valid, unscoped := e.key("conversionsWrite"), e.key("linksRead")
	e.click(valid.WorkspaceID)
	outcomes := map[string]float64{"ok": 9, "missing_scopes": 1, "early_data": 1, "missing": 1, "unknown": 1}
	for outcome := range outcomes {
		outcomes[outcome] += labeled(t, "hoko_auth_total", outcome)
	}
	refused := labeled(t, "hoko_sale_refusals_total", "missing_scopes")
	keyed := header{"Authorization": valid.Key, "Idempotency-Key": "first"}
	if got := e.send("POST", "/api/track/sale", keyed, withClick); got.status != 201 || e.line(got)["cause"] != nil {
		t.Fatalf("%d %s", got.status, got.body)
	}
	const sale, noSale = "/api/track/sale", ""
	for _, tc := range []struct {
		path          string
		header        header
		body          string
		status        int
		cause, reason string
	}{
		{sale, header{"Early-Data": "1"}, noSale, 425, "early_data", ""},
		{sale, nil, noSale, 401, "missing", ""},
		{sale, bearer("unknown"), noSale, 401, "unknown", ""},
		{sale, bearer(unscoped.Key), noSale, 403, "missing_scopes", ""},
		{"/any-scope", bearer(unscoped.Key), noSale, 403, "missing_scopes", ""},
		{sale, header{"Authorization": valid.Key, "Content-Encoding": "gzip"}, "x", 415, "encoding", ""},
		{sale, bearer(valid.Key), strings.Repeat("x", 70_000), 413, "too_large", ""},
		{sale, bearer(valid.Key), strings.Replace(withClick, "12900", "-1", 1), 400,
			"invalid", "amount: must be a non-negative integer"},
		{sale, bearer(valid.Key), validSale, 400,
			"invalid", "clickId: missing, and the customer has no lead, or its link is gone"},
		{sale, keyed, strings.Replace(withClick, "12900", "1", 1), 422, "idempotency_mismatch", ""},
		{sale, bearer(valid.Key), withClick, 201, "", ""},
		{sale, bearer(valid.Key), withClick, 429, "rate_limit", ""},
		{"/method", nil, noSale, 405, "method_not_allowed", ""},
		{"/lost", nil, noSale, 404, "not_found", "no such page"},
		{"/long", nil, noSale, 413, "request_entity_too_large", "too long"},
		{"/unverified", nil, noSale, 500, "failed", apikey.ErrUnverified.Error()},
		{"/page", nil, noSale, 502, "bad_gateway", "dial tcp 127.0.0.1:1: connect: connection refused"},
	} {
		got := e.send("POST", tc.path, tc.header, tc.body)
		line := e.line(got)
		cause, _ := line["cause"].(string)
		reason, _ := line["reason"].(string)
		if got.status != tc.status || cause != tc.cause || reason != tc.reason {
			t.Errorf("%s %d: got %d, cause %q, reason %q", tc.path, tc.status, got.status, cause, reason)
		}
	}
	for outcome, want := range outcomes {
		if got := labeled(t, "hoko_auth_total", outcome); got != want {
			t.Errorf("hoko_auth_total %s is %v, want %v", outcome, got, want)
		}
	}
	if got := labeled(t, "hoko_sale_refusals_total", "missing_scopes"); got != refused+1 {
		t.Errorf("hoko_sale_refusals_total missing_scopes is %v", got)
	}
}

// With error routes, Caddy logs an error only at level DEBUG, even if no route answers it.
func TestAccessLog_NamesErrorsThatNoRouteAnswers(t *testing.T) {
	e := startEdge(t, strings.Replace(loggedRoutes, "api_errors", `api_errors /api/*
		@rest not path /api/*
		header @rest X-Rest 1`, 1)+`
	error /odd "odd" 599
	error /gone "left" 499`)
	for _, tc := range []struct {
		path          string
		status        int
		cause, reason string
	}{
		{"/page", 502, "bad_gateway", "dial tcp 127.0.0.1:1: connect: connection refused"},
		{"/odd", 599, "status_599", "odd"},
		{"/gone", 499, "client_gone", "left"},
	} {
		got := e.send("GET", tc.path, nil, "")
		line := written.await(t, "handled request", "cause", tc.cause)
		if got.status != tc.status || got.header.Get("X-Rest") != "1" || line["reason"] != tc.reason {
			t.Errorf("%s: %d, %v", tc.path, got.status, line)
		}
	}
}

func TestAccessLog_NamesOutages(t *testing.T) {
	e := newEdge(t, testenv.Database(t), "redis://127.0.0.1:1")
	e.routes = strings.Replace(loggedRoutes, "limit 7/1h", "limit 7/1h\n\t\ton_error deny", 1)
	key := e.key("conversionsWrite")
	e.mustLoad()
	wantUnavailable := func(reason string) {
		t.Helper()
		got := e.send("POST", "/api/track/sale", bearer(key.Key), withClick)
		line := e.line(got)
		if got.status != 503 || line["cause"] != "unavailable" || !strings.HasPrefix(line["reason"].(string), reason) {
			t.Errorf("%d %v", got.status, line)
		}
	}
	wantUnavailable("rate limit unavailable")

	e = newEdge(t, "postgres://hoko@127.0.0.1:1/site", "redis://127.0.0.1:1")
	e.routes = loggedRoutes
	e.mustLoad()
	wantUnavailable("key cannot be looked up")
}

// labeled returns the value of a counter by the value of its only label, or -1.
func labeled(t *testing.T, name, label string) float64 {
	t.Helper()
	for _, sample := range gathered(t, name) {
		if sample.GetLabel()[0].GetValue() == label {
			return sample.GetCounter().GetValue()
		}
	}
	return -1
}
