package caddymodule

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

// wantFields compares the fields of a line that the edge adds. The value of a duration is "t" if it
// is positive.
func wantFields(t *testing.T, what string, line, want map[string]any) {
	t.Helper()
	got := map[string]any{}
	for name, value := range line {
		if slices.Contains(caddysFields, name) {
			continue
		}
		if seconds, ok := value.(float64); ok && strings.HasSuffix(name, "_duration") && seconds > 0 && seconds < 60 {
			value = "t"
		}
		got[name] = value
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

// caddysFields are the fields of every line of the access log.
var caddysFields = []string{
	"level", "ts", "logger", "msg", "request", "bytes_read", "user_id", "duration", "size", "status", "resp_headers",
	"uuid",
}

func TestAccessFields_OfASale(t *testing.T) {
	e := startEdge(t, loggedRoutes)
	key, unscoped := e.key("conversionsWrite"), e.key("linksRead")
	e.click(key.WorkspaceID)
	const path = "/api/track/sale"
	keyed := header{"Authorization": key.Key, "Idempotency-Key": "first"}
	sold := e.send("POST", path, keyed, withClick)
	want := map[string]any{
		"key_id": key.ID, "workspace_id": key.WorkspaceID, "decision": "admitted",
		"limit_source": "redis", "limit_remaining": 6.,
		"sale_id": sold.header.Get("Hoko-Sale-Id"), "attribution": "click",
		"auth_duration": "t", "limit_duration": "t", "queue_duration": "t", "commit_duration": "t",
	}
	line := e.line(sold)
	wantFields(t, "a sale", line, want)
	if line["user_id"] != key.ID || want["sale_id"] == "" {
		t.Errorf("user_id %v, sale %v", line["user_id"], want["sale_id"])
	}
	want["replayed"], want["limit_remaining"] = true, 5.
	wantFields(t, "its replay", e.line(e.send("POST", path, keyed, withClick)), want)

	want = map[string]any{
		"key_id": key.ID, "workspace_id": key.WorkspaceID, "decision": "rejected",
		"cause": "invalid", "reason": "amount: must be a non-negative integer",
		"limit_source": "redis", "limit_remaining": 4., "auth_duration": "t", "limit_duration": "t",
	}
	invalid := e.send("POST", path, bearer(key.Key), strings.Replace(withClick, "12900", "-1", 1))
	wantFields(t, "a 400", e.line(invalid), want)
	for range 4 {
		e.send("POST", path, bearer(key.Key), "")
	}
	delete(want, "reason")
	want["cause"], want["limit_remaining"], want["limit_name"] = "rate_limit", 0., "default"
	wantFields(t, "a 429", e.line(e.send("POST", path, bearer(key.Key), "")), want)

	want = map[string]any{
		"key_id": unscoped.ID, "workspace_id": unscoped.WorkspaceID, "decision": "rejected",
		"cause": "missing_scopes", "auth_duration": "t",
	}
	wantFields(t, "a 403", e.line(e.send("POST", path, bearer(unscoped.Key), "")), want)
	e.sql(`UPDATE hoko.api_keys SET revoked_at = now() - interval '1 hour' WHERE id = $1`, unscoped.ID)
	eventually(t, "the key is revoked", func() bool {
		line = e.line(e.send("POST", path, bearer(unscoped.Key), ""))
		return line["status"] == 401.
	})
	want["cause"] = "revoked"
	wantFields(t, "a 401 of a known key", line, want)
	if line["user_id"] != "" {
		t.Errorf("user_id %v of a revoked key", line["user_id"])
	}
	want = map[string]any{"decision": "rejected", "cause": "unknown", "auth_duration": "t"}
	wantFields(t, "a 401", e.line(e.send("POST", path, bearer("unknown"), "")), want)
}

func TestAccessFields_OfTheSite(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer site.Close()
	proxy := "reverse_proxy " + site.Listener.Addr().String()
	e := startEdge(t, `
		handle /page {
			`+proxy+`
		}
		handle /lost {
			error "no such page" 404
		}
		handle /dead {
			reverse_proxy 127.0.0.1:1
		}
		@api path /broken /dead
		api_key_auth @api
		route {
			api_key_auth {
				scopes linksRead
			}
			redis_rate_limit {
				limit 9/1h
			}
			`+proxy+`
		}
		handle_errors {
			respond "{err.status_code}"
		}`)
	key := e.key("linksRead")
	line := func(path, status string) map[string]any {
		t.Helper()
		e.send("GET", path, bearer(key.Key), "")
		return written.await(t, "handled request", "status", status)
	}
	page := line("/page", "200")
	wantFields(t, "a page", page, map[string]any{})
	if page["uuid"] != nil {
		t.Error("a page has a request ID")
	}
	wantFields(t, "an error", line("/lost", "404"), map[string]any{"cause": "not_found", "reason": "no such page"})
	admitted := map[string]any{
		"key_id": key.ID, "workspace_id": key.WorkspaceID, "decision": "admitted",
		"limit_source": "redis", "limit_remaining": 8.,
		"auth_duration": "t", "limit_duration": "t", "site_duration": "t",
	}
	wantFields(t, "an admitted call, authenticated twice", line("/broken", "500"), admitted)
	wantFields(t, "a site that is down", line("/dead", "502"), map[string]any{
		"key_id": key.ID, "workspace_id": key.WorkspaceID, "decision": "admitted",
		"cause": "bad_gateway", "reason": "dial tcp 127.0.0.1:1: connect: connection refused",
		"auth_duration": "t", "site_duration": "t",
	})
	failed := written.await(t, "request failed", "status", "502")
	if failed["logger"] != "http.log.error" || failed["level"] != "error" || len(failed["uuid"].(string)) != 36 {
		t.Errorf("logged %v", failed)
	}
}

// A statement that hangs makes its sale a 504, and one that waits for the only writer a 503.
func TestAccessFields_OfAnOutage(t *testing.T) {
	server := testenv.Postgres(t)
	dsn := server.DSN("postgres")
	if err := postgres.Migrate(t.Context(), dsn, nil); err != nil {
		t.Fatal(err)
	}
	e := newEdge(t, dsn, testenv.Redis(t))
	e.hoko, e.routes = "sales {\nwriters 1\nbatch 1\ntimeout 1s\n}", loggedRoutes
	key := e.key("conversionsWrite")
	e.click(key.WorkspaceID)
	e.mustLoad()
	if got := e.send("POST", "/api/track/sale", bearer(key.Key), withClick); got.status != 201 {
		t.Fatal(got)
	}
	thaw := server.Freeze(t)
	defer thaw()
	answers := make(chan answer, 2)
	for range 2 {
		go func() { // ends with the request
			got, err := e.try("POST", "/api/track/sale", bearer(key.Key), withClick)
			if err != nil {
				t.Error(err)
			}
			answers <- got
		}()
	}
	seen := map[int]bool{}
	for range 2 {
		got := <-answers
		seen[got.status] = true
		line := e.line(got)
		want := map[string]any{
			"key_id": key.ID, "workspace_id": key.WorkspaceID, "decision": "failed",
			"limit_source": "redis", "limit_remaining": line["limit_remaining"], "reason": line["reason"],
			"auth_duration": "t", "limit_duration": "t", "queue_duration": "t",
		}
		switch got.status {
		case 504:
			want["cause"], want["commit_duration"] = "unknown_outcome", "t"
			want["sale_id"] = got.header.Get("Hoko-Sale-Id")
		case 503:
			want["cause"] = "unavailable"
		}
		wantFields(t, http.StatusText(got.status), line, want)
		failed := written.await(t, "request failed", "uuid", got.header.Get("X-Request-Id"))
		if failed["level"] != "error" || failed["error"] != line["reason"] {
			t.Errorf("logged %v", failed)
		}
	}
	if !seen[503] || !seen[504] {
		t.Errorf("statuses %v", seen)
	}
}

// Every encoder writes the fields, also through those of Caddy that wrap it and change fields.
func TestAccessFields_InEveryFormat(t *testing.T) {
	for _, format := range []string{
		"hoko", "json", "console", "append {\nwrap hoko\nfields {\nedge one\n}\n}",
		"filter {\nwrap hoko\nfields {\nreason replace hidden\nsite_duration delete\nrequest>headers delete\n}\n}",
	} {
		name, _, _ := strings.Cut(format, " ")
		t.Run(name, func(t *testing.T) {
			e := newEdge(t, testenv.Database(t), testenv.Redis(t))
			e.format = format
			e.routes = "log_append appended {http.request.method}\nlog_append key_id_again {http.auth.user.id}\n" +
				"api_key_auth /api/*\nerror \"no route\" 502"
			e.mustLoad()
			key := e.key("linksRead")
			e.send("GET", "/api/x", bearer(key.Key), "")
			var line map[string]any
			eventually(t, "the request is logged", func() bool {
				for _, text := range written.all() {
					if _, at, found := strings.Cut(text, "{"); found && strings.Contains(text, "handled request") {
						if err := json.Unmarshal([]byte("{"+at), &line); err != nil {
							t.Fatalf("%v: %s", err, text)
						}
						if strings.Count(text, `"key_id"`) != 1 || strings.Count(text, `"uuid"`) != 1 {
							t.Errorf("not once: %s", text)
						}
						return true
					}
				}
				return false
			})
			want := map[string]any{
				"key_id": key.ID, "workspace_id": key.WorkspaceID, "decision": "admitted", "cause": "bad_gateway",
				"reason": "no route", "auth_duration": "t", "site_duration": "t",
				"appended": "GET", "key_id_again": key.ID,
			}
			switch name {
			case "filter":
				want["reason"] = "hidden"
				delete(want, "site_duration")
			case "append":
				want["edge"] = "one"
			}
			wantFields(t, name, line, want)
		})
	}
}

// The site breaks off its response, so reverse_proxy panics.
func TestAccessFields_OfABrokenResponse(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.Write([]byte("half"))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer site.Close()
	e := startEdge(t, "api_key_auth\nreverse_proxy "+site.Listener.Addr().String())
	key := e.key("linksRead")
	before := metric(t, "hoko_http_requests_in_flight")
	if got, err := e.try("GET", "/", bearer(key.Key), ""); err == nil {
		t.Fatalf("a complete answer: %v", got)
	}
	wantFields(t, "the request", written.await(t, "handled request", "status", "200"), map[string]any{
		"key_id": key.ID, "workspace_id": key.WorkspaceID, "decision": "admitted",
		"auth_duration": "t", "site_duration": "t",
	})
	if after := metric(t, "hoko_http_requests_in_flight"); after != before {
		t.Errorf("%v requests in flight before, %v after", before, after)
	}
}
