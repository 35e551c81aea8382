package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/caddymodule/explain"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres/admin"
)

// asked is an answer of GET /hoko/explain.
type asked struct {
	explain.Document
	status int
	text   string // of the document or error
}

func ask(parameter, value string) asked {
	recorder := httptest.NewRecorder()
	query := url.Values{parameter: {value}}.Encode()
	err := explain.Serve(recorder, httptest.NewRequest("GET", "/hoko/explain?"+query, nil))
	if failed, ok := errors.AsType[caddy.APIError](err); ok {
		return asked{status: failed.HTTPStatus, text: failed.Err.Error()}
	}
	got := asked{status: recorder.Code, text: recorder.Body.String()}
	if err == nil {
		err = json.Unmarshal(recorder.Body.Bytes(), &got.Document)
	}
	if err != nil {
		got.text = err.Error()
	}
	return got
}

// explained returns the explanation of an answer. It waits for it, because the client has the
// answer before the request ends.
func (e *testEdge) explained(got answer) (event explain.Event) {
	e.t.Helper()
	id := got.header.Get("X-Request-Id")
	eventually(e.t, "the request is explained", func() bool {
		answer := ask("request", id)
		if answer.Request != nil {
			event = *answer.Request
		}
		return answer.Request != nil
	})
	if event.RequestID != id || event.Status != got.status {
		e.t.Errorf("%+v explains %d %s", event, got.status, id)
	}
	return event
}

// Everything that a client may send that no explanation may show.
var secretTexts = []string{
	"jane@example.com", "Jane Doe", "cus_secret", "/reset", "tok_secret", "user_secret", "127.0.0.1",
}

const secretSale = `{"customerExternalId":"cus_secret","amount":%,"customerName":"Jane Doe",` +
	`"customerEmail":"jane@example.com","clickId":"tok_secret"}`

func TestExplain_EachRejection(t *testing.T) {
	e := startEdge(t, `
	api_key_auth /api/track/sale {
		scopes conversionsWrite
	}
	redis_rate_limit /api/track/sale {
		limit 1000/1h
	}
	track_sale /api/track/sale
	error /reset "tok_secret" 405
	reverse_proxy 127.0.0.1:1
	handle_errors {
		api_errors
	}`)
	create := func(k admin.NewKey) admin.CreatedKey {
		k.Workspace, k.CreateWorkspace, k.Scopes = "Acme", true, []string{"conversionsWrite"}
		created, err := admin.CreateKey(t.Context(), e.dsn, k)
		testenv.NoError(t, err)
		return created
	}
	valid, unscoped := create(admin.NewKey{}), e.key("linksRead")
	hosts := create(admin.NewKey{Hostnames: []string{"shop.example.com"}})
	limited := create(admin.NewKey{Limit: limit.Limit{Rate: 1, Period: 3600e9, Burst: 1}})
	revoked, expired := create(admin.NewKey{}), create(admin.NewKey{})
	disabled, err := admin.CreateKey(t.Context(), e.dsn,
		admin.NewKey{Workspace: "Off", CreateWorkspace: true, Scopes: []string{"conversionsWrite"}})
	testenv.NoError(t, err)
	e.sql(`UPDATE hoko.api_keys SET revoked_at = now() WHERE id = $1`, revoked.ID)
	e.sql(`UPDATE hoko.api_keys SET expires_at = now() - interval '1 hour' WHERE id = $1`, expired.ID)
	e.sql(`UPDATE hoko.workspaces SET disabled_at = now() WHERE id = $1`, disabled.WorkspaceID)
	e.click(valid.WorkspaceID)
	sale := func(amount string) string { return strings.Replace(secretSale, "%", amount, 1) }
	recorded := strings.Replace(sale("1"), "tok_secret", "click", 1)
	idempotent := header{"Authorization": valid.Key, "Idempotency-Key": "tok_secret"}
	if got := e.send("POST", "/api/track/sale", idempotent, recorded); got.status != 201 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	e.send("POST", "/api/track/sale", bearer(limited.Key), "{}")

	auth := func(key string) header { return header{"Authorization": key} }
	none, off := admin.CreatedKey{}, disabled
	for _, tc := range []struct {
		path   string
		header header
		body   string
		part   string
		status int
		cause  string
		key    admin.CreatedKey
		want   string // in the explanation
	}{
		{"", header{}, "", "auth", 401, "missing", none, "no key in its Authorization header"},
		{"", auth("Bearer a b"), "", "auth", 401, "malformed", none, "is not one key"},
		{"", auth("tok_secret"), "", "auth", 401, "unknown", none, "No key is the one that was sent, says Postgres"},
		{"", auth("tok_secret"), "", "auth", 401, "unknown", none, "remembers that from a lookup"},
		{"", auth(revoked.Key), "", "auth", 401, "revoked", revoked, "caddy hoko keys unrevoke " + revoked.ID},
		{"", auth(expired.Key), "", "auth", 401, "expired", expired, "keys update " + expired.ID + " --expires"},
		{"", auth(disabled.Key), "", "auth", 401, "workspace_disabled", off, "workspaces enable " + off.WorkspaceID},
		{"", header{"Authorization": hosts.Key, "Referer": "https://evil.example/reset?t=tok_secret"}, "",
			"auth", 401, "host_not_allowed", hosts, "is on evil.example, and the key allows shop.example.com."},
		{"", auth(unscoped.Key), "", "auth", 403, "missing_scopes", unscoped,
			"The key lacks conversionsWrite; the route requires conversionsWrite."},
		{"", header{"Early-Data": "1"}, "", "auth", 425, "early_data", none, "TLS early data"},
		{"", auth(limited.Key), "{}", "limit", 429, "rate_limit", limited,
			"The bucket default (1/1h) of the key was empty, says Redis"},
		{"", auth(valid.Key), sale(`-5`), "sale", 400, "invalid", valid, "amount: must be a non-negative integer"},
		{"", auth(valid.Key), sale(`5`), "sale", 400, "invalid", valid, "clickId: no such click"},
		{"", idempotent, strings.Replace(recorded, `:1,`, `:2,`, 1), "sale", 422, "idempotency_mismatch", valid,
			"belongs to an earlier request"},
		{"", header{"Authorization": valid.Key, "Content-Encoding": "gzip"}, "", "sale", 415, "encoding", valid,
			"Content-Encoding"},
		{"/reset?token=tok_secret", header{}, "", "site", 405, "method_not_allowed", none, "method not allowed"},
		{"/user_secret", header{}, "", "site", 502, "bad_gateway", none, "The site could not be reached"},
	} {
		path := tc.path
		if path == "" {
			path = "/api/track/sale"
		}
		got := e.send("POST", path, tc.header, tc.body)
		event := e.explained(got)
		why, next := event.Why()
		if event.Status != tc.status || event.Part != tc.part || event.Cause != tc.cause || event.KeyID != tc.key.ID ||
			event.WorkspaceID != tc.key.WorkspaceID || !strings.Contains(why+next, tc.want) ||
			next == "" && tc.status != 405 {
			t.Errorf("%s: %+v\n%s\n%s", tc.cause, event, why, next)
		}
		text := ask("request", event.RequestID).text + why + next
		for _, secret := range append(secretTexts, valid.Key, unscoped.Key, hosts.Key, limited.Key) {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the explanation has %s: %s", tc.cause, secret, text)
			}
		}
	}

	limits := ask("key", limited.ID)
	if limits.status != 200 || limits.Key.Postgres.Access.State != "valid" || limits.Key.Cache.State != "cached" ||
		len(limits.Key.Requests) != 2 || limits.Key.Requests[0].Status != 429 {
		t.Errorf("%d %s", limits.status, limits.text)
	}
	most := explain.MostDenied().Keys
	if !slices.Contains(most, explain.DeniedKey{KeyID: limited.ID, WorkspaceID: limited.WorkspaceID, Denied: 1}) {
		t.Errorf("the most denied keys are %+v", most)
	}
}

func TestExplain_OtherFailures(t *testing.T) {
	e := startEdge(t, `
	api_key_auth /sale
	track_sale /sale
	redis_rate_limit /unverified {
		limit 5/1h
	}
	api_key_auth /page
	respond /page ok
	handle_errors {
		api_errors
	}`)
	e.hoko = "guesses 1/1h"
	e.mustLoad()
	key := e.key("linksRead")
	var last explain.Event
	for _, tc := range []struct {
		path   string
		header header
		status int
		want   string
	}{
		{"/sale", bearer(key.Key), 403, "The key lacks conversionsWrite; the route requires conversionsWrite."},
		{"/unverified", header{}, 500, "The edge answered failed."},
		{"/page", bearer("first"), 401, "No key is the one that was sent"},
		{"/page", bearer("second"), 429, "has spent its budget of unknown keys (1/1h)"},
		{"/page", header{"Host": "other.example"}, 421, "No site of this edge has the host name"},
	} {
		event := e.explained(e.send("POST", tc.path, tc.header, ""))
		why, next := event.Why()
		if event.Status != tc.status || !strings.Contains(why, tc.want) || next == "" {
			t.Errorf("%s: %+v\n%s\n%s", tc.path, event, why, next)
		}
		last = event
	}
	e.hoko = "guesses 2/1h" // another backend
	e.mustLoad()
	if got := ask("request", last.RequestID); got.status != 200 {
		t.Errorf("after a reload: %d %s", got.status, got.text)
	}
}

func TestExplain_WithoutPostgresAndRedis(t *testing.T) {
	relay, through := testenv.Relay(t, testenv.Database(t))
	testenv.NoError(t, relay.Open())
	e := newEdge(t, through, "redis://127.0.0.1:1")
	e.routes = "api_key_auth\nredis_rate_limit /limited {\nlimit 5/1h\non_error deny\n}\nrespond ok\n" +
		"handle_errors {\napi_errors\n}"
	e.mustLoad()
	key := e.key("linksRead")
	if got := e.send("GET", "/", bearer(key.Key), ""); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	denied := e.explained(e.send("GET", "/limited", bearer(key.Key), ""))
	if why, next := denied.Why(); denied.Status != 503 || denied.Part != "limit" || denied.Cause != "unavailable" ||
		!strings.Contains(why, "Redis does not decide about the limit default") ||
		!strings.Contains(next, denied.RequestID) {
		t.Errorf("%+v\n%s\n%s", denied, why, next)
	}
	eventually(t, "the key is cached", func() bool { return ask("key", key.ID).Key.Cache.State == "cached" })
	relay.Cut()
	event := e.explained(e.send("GET", "/", bearer("another"), ""))
	if why, next := event.Why(); event.Status != 503 || event.Part != "auth" || event.Cause != "unavailable" ||
		event.Reason != "" || !strings.Contains(why, "Postgres has not answered") ||
		!strings.Contains(next, event.RequestID) {
		t.Errorf("%+v\n%s\n%s", event, why, next)
	}
	byID, byHash := ask("key", key.ID), ask("hash", apikey.HashOf(key.Key).String())
	for _, got := range []asked{byID, byHash} {
		if got.status != 200 || got.Key.KeyID != key.ID || got.Key.Postgres.State != "unknown" ||
			got.Key.Postgres.Error == "" || got.Key.Cache.Access.State != "valid" || len(got.Key.Requests) != 1 {
			t.Errorf("%d %s", got.status, got.text)
		}
	}
	if got := ask("key", "other"); got.status != 503 || !strings.Contains(got.text, "Postgres does not answer") {
		t.Errorf("%d %s", got.status, got.text)
	}
}

func TestExplain_BadQuestions(t *testing.T) {
	e := startEdge(t, saleRoutes)
	key := e.key("linksRead")
	e.sql(`UPDATE hoko.api_keys SET key_start = 'hoko_same'`)
	other := e.key("linksRead")
	e.sql(`UPDATE hoko.api_keys SET key_start = 'hoko_same'`)
	for _, tc := range []struct {
		query  string
		status int
		want   []string
	}{
		{"", 400, []string{"?request=", "?key=", "?hash="}},
		{"request=a&key=b", 400, []string{"with one of"}},
		{"hash=12", 400, []string{"not a SHA-256"}},
		{"hash=" + strings.Repeat("x", 64), 400, []string{"not a SHA-256"}},
		{"hash=" + strings.Repeat("0", 65), 400, []string{"not a SHA-256"}},
		{"hash=" + strings.Repeat("0", 64), 404, []string{"no such key"}},
		{"key=hoko_same", 400, []string{"several keys begin with this", key.ID, other.ID}},
		{"key=none", 404, []string{"no such key"}},
		{"request=none", 404, []string{"no such request", "other edges have their own", "access log"}},
	} {
		err := explain.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/hoko/explain?"+tc.query, nil))
		failed, ok := errors.AsType[caddy.APIError](err)
		for _, want := range tc.want {
			if !ok || failed.HTTPStatus != tc.status || !strings.Contains(failed.Err.Error(), want) {
				t.Errorf("%s: %v", tc.query, err)
			}
		}
	}
	recorder := httptest.NewRecorder()
	err := explain.Serve(recorder, httptest.NewRequest("POST", "/hoko/explain?request=a", nil))
	if failed, ok := errors.AsType[caddy.APIError](err); !ok || failed.HTTPStatus != http.StatusMethodNotAllowed ||
		recorder.Header().Get("Allow") == "" {
		t.Errorf("POST: %v", err)
	}
	e.sql(`DELETE FROM hoko.api_keys WHERE id = $1`, other.ID)
	got := ask("key", "hoko_same")
	if got.status != 200 || got.Key.KeyID != key.ID || got.Key.Cache.State != "not_cached" {
		t.Errorf("%d %s", got.status, got.text)
	}
}
