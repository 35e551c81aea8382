package caddymodule

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
)

const saleRoutes = `
	@sale {
		method POST
		path /api/track/sale
	}
	api_key_auth @sale {
		scopes conversionsWrite
	}
	redis_rate_limit @sale {
		limit 3/1h
	}
	track_sale @sale
	respond 404
	handle_errors {
		api_errors
	}`

const validSale = `{"customerExternalId":"customer_123","amount":12900,"customerName":"John Doe"}`

// Each request also has the faults of the requests below it.
func TestDecisions_Order(t *testing.T) {
	e := startEdge(t, saleRoutes)
	valid, unscoped := e.key("conversionsWrite"), e.key("linksRead")
	long := strings.Repeat("x", 70_000)
	for _, tc := range []struct {
		name                        string
		header                      header
		body                        string
		status                      int
		cause, challenge, remaining string
	}{
		{"early data", header{"Early-Data": "1", "Content-Encoding": "gzip"}, "x", 425, "early_data", "", ""},
		{"no key", header{"Content-Encoding": "gzip"}, "x", 401, "missing", "Bearer", ""},
		{"unknown key", header{"Authorization": "no-such-key", "Content-Encoding": "gzip"}, "x",
			401, "unknown", `Bearer error="invalid_token"`, ""},
		{"missing scope", header{"Authorization": unscoped.Key, "Content-Encoding": "gzip"}, "x",
			403, "missing_scopes", `Bearer error="insufficient_scope", scope="conversionsWrite"`, ""},
		{"encoded body", header{"Authorization": valid.Key, "Content-Encoding": "gzip"}, long, 415, "", "", "2"},
		{"long body", header{"Authorization": valid.Key}, long, 413, "", "", "1"},
		{"no attribution", header{"Authorization": valid.Key}, validSale, 400, "", "", "0"},
		{"rate limit", header{"Authorization": valid.Key, "Content-Encoding": "gzip"}, "x", 429, "rate_limit", "", "0"},
		{"Early-Data: 0", header{"Authorization": valid.Key, "Early-Data": "0"}, "x", 425, "early_data", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.header["X-Request-Id"] = "the client's own"
			got := e.send("POST", "/api/track/sale", tc.header, tc.body)
			if got.status != tc.status {
				t.Fatalf("status %d, want %d: %s", got.status, tc.status, got.body)
			}
			if challenge := got.header.Get("WWW-Authenticate"); challenge != tc.challenge {
				t.Errorf("challenge %q, want %q", challenge, tc.challenge)
			}
			if remaining := got.header.Get("X-RateLimit-Remaining"); remaining != tc.remaining {
				t.Errorf("X-RateLimit-Remaining %q, want %q", remaining, tc.remaining)
			}
			if got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control %q", got.header.Get("Cache-Control"))
			}
			id := got.header.Get("X-Request-Id")
			if len(id) != 36 {
				t.Fatalf("X-Request-Id %q is not the edge's", id)
			}
			line := written.await(t, "handled request", "uuid", id)
			if tc.cause != "" && line["cause"] != tc.cause {
				t.Errorf("logged cause %v, want %s", line["cause"], tc.cause)
			}
		})
	}
}

func TestTrackSale_RecordsASale(t *testing.T) {
	e := startEdge(t, saleRoutes)
	key := e.key("conversionsWrite")
	e.click(key.WorkspaceID)

	got := e.send("POST", "/api/track/sale", bearer(key.Key), withClick)
	if got.status != 201 {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	if got.header.Get("Hoko-Attribution") != "click" || got.header.Get("Hoko-Sale-Id") == "" {
		t.Errorf("headers %v", got.header)
	}
	if got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", got.header.Get("Cache-Control"))
	}
	line := written.await(t, "handled request", "uuid", got.header.Get("X-Request-Id"))
	if line["user_id"] != key.ID || line["workspace_id"] != key.WorkspaceID {
		t.Errorf("logged user_id %v and workspace_id %v, want %s and %s",
			line["user_id"], line["workspace_id"], key.ID, key.WorkspaceID)
	}
}

func TestTrackSale_OtherMethodsAndPathsPass(t *testing.T) {
	e := startEdge(t, saleRoutes)
	for _, request := range []string{"GET /api/track/sale", "POST /api/track/sale/", "POST /api/track/lead"} {
		method, path, _ := strings.Cut(request, " ")
		if got := e.send(method, path, nil, ""); got.status != 404 || got.header.Get("X-Request-Id") != "" {
			t.Errorf("%s: %d %v", request, got.status, got.header)
		}
	}
}

func TestGuesses_429HasTheBudgetHeaders(t *testing.T) {
	e := newEdge(t, testenv.Database(t), testenv.Redis(t))
	e.hoko, e.routes = "guesses 2/1h", saleRoutes
	e.mustLoad()
	valid := e.key("conversionsWrite")
	e.send("POST", "/api/track/sale", bearer(valid.Key), "")
	for _, guess := range []string{"guess-1", "guess-2"} {
		if got := e.send("POST", "/api/track/sale", bearer(guess), ""); got.status != 401 {
			t.Fatalf("%s: %d", guess, got.status)
		}
	}
	got := e.send("POST", "/api/track/sale", bearer("guess-3"), "")
	h := got.header.Get
	if got.status != 429 || h("X-RateLimit-Limit") != "2" || h("X-RateLimit-Remaining") != "0" ||
		h("X-RateLimit-Reset") == "" || h("Retry-After") == "" || h("RateLimit") != "" {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := e.send("POST", "/api/track/sale", bearer(valid.Key), ""); got.status != 400 {
		t.Errorf("the cached key of the same address: %d", got.status)
	}
}

func TestDecisions_403CostsNoRedisCall(t *testing.T) {
	e := newEdge(t, testenv.Database(t), "redis://127.0.0.1:1")
	e.routes = saleRoutes
	e.mustLoad()
	if got := e.send("POST", "/api/track/sale", bearer(e.key("linksRead").Key), ""); got.status != 403 {
		t.Fatalf("status %d", got.status)
	}
	for _, node := range backend.States()[0].Limits.Nodes {
		if node.Open {
			t.Error("the breaker opened: the 403 made a Redis call")
		}
	}
	if got := e.send("POST", "/api/track/sale", bearer(e.key("conversionsWrite").Key), ""); got.status != 400 {
		t.Fatalf("status %d", got.status)
	}
	for _, node := range backend.States()[0].Limits.Nodes {
		if !node.Open {
			t.Error("the breaker is closed: this test cannot detect a Redis call")
		}
	}
}

func TestTrackSale_AlwaysNeedsItsScope(t *testing.T) {
	e := startEdge(t, "api_key_auth\ntrack_sale")
	got := e.send("POST", "/api/track/sale", bearer(e.key("linksRead").Key), validSale)
	if got.status != 403 || !strings.Contains(got.body, `"missingScopes":["conversionsWrite"]`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestDecisions_UnverifiedKeyIs500(t *testing.T) {
	for _, route := range []string{"redis_rate_limit {\nlimit 1/s\n}", "track_sale"} {
		e := startEdge(t, "api_key_auth /elsewhere\n"+route+"\nhandle_errors {\napi_errors\n}")
		got := e.send("POST", "/", nil, validSale)
		if got.status != 500 || !strings.Contains(got.body, `"en":"Internal server error"`) {
			t.Errorf("%s: %d %s", route, got.status, got.body)
		}
		line := written.await(t, "request failed", "uuid", got.header.Get("X-Request-Id"))
		if line["error"] != apikey.ErrUnverified.Error() || line["level"] != "error" {
			t.Errorf("logged %v", line)
		}
	}
}

func TestProxy_AddsOnlyRateLimitHeaders(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("X-Request-Id", "the site's "+r.Header.Get("X-Request-Id"))
		w.Write([]byte("links"))
	}))
	defer site.Close()
	e := startEdge(t, `api_key_auth {
		scopes linksRead
	}
	redis_rate_limit {
		limit 10/1m burst 5
		name links
	}
	reverse_proxy `+site.Listener.Addr().String())

	got := e.send("GET", "/api/links", header{"Authorization": e.key("linksRead").Key, "X-Request-Id": "caller's"}, "")
	for name, want := range map[string]string{
		"X-RateLimit-Limit":     "5",
		"X-RateLimit-Remaining": "4",
		"RateLimit-Policy":      `"links";q=5;w=30`,
		"RateLimit":             `"links";r=4;t=6`,
		"X-Request-Id":          "the site's caller's",
		"Cache-Control":         "max-age=60",
	} {
		if values := got.header.Values(name); len(values) != 1 || values[0] != want {
			t.Errorf("%s: %q, want %q", name, values, want)
		}
	}
	if got.status != 200 || got.body != "links" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestRateLimit_KeyOverridesHandler(t *testing.T) {
	e := startEdge(t, saleRoutes)
	key := e.key("conversionsWrite")
	e.sql(`UPDATE hoko.api_keys SET rate_limit = 20, rate_period = '1 hour', rate_burst = 10 WHERE id = $1`, key.ID)
	got := e.send("POST", "/api/track/sale", bearer(key.Key), "")
	if policy := got.header.Get("RateLimit-Policy"); policy != `"default";q=10;w=1800` {
		t.Errorf("RateLimit-Policy %q", policy)
	}
}

func TestRateLimit_HasOneBucketPerName(t *testing.T) {
	e := startEdge(t, "api_key_auth\nredis_rate_limit /a* {\nlimit 1/1h\nname a\n}\n"+
		"redis_rate_limit /b {\nlimit 1/1h\nname b\n}\nrespond ok")
	key := bearer(e.key("linksRead").Key)
	for _, request := range []struct {
		path   string
		status int
	}{{"/a", 200}, {"/a2", 429}, {"/b", 200}, {"/b", 429}} {
		if got := e.send("GET", request.path, key, ""); got.status != request.status {
			t.Errorf("%s: %d, want %d", request.path, got.status, request.status)
		}
	}
}

func TestTrackSale_SlowBodyIs408(t *testing.T) {
	e := startEdge(t, strings.Replace(saleRoutes, "track_sale @sale", "track_sale @sale {\nbody_timeout 100ms\n}", 1))
	conn, err := net.Dial("tcp", e.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(9 * time.Second)); err != nil { // the default is 10
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /api/track/sale HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Length: 100\r\n\r\n{",
		e.address, e.key("conversionsWrite").Key)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	h := response.Header
	if response.StatusCode != 408 || h.Get("X-RateLimit-Remaining") != "2" || h.Get("X-Request-Id") == "" {
		t.Errorf("%d %v", response.StatusCode, h)
	}
}
