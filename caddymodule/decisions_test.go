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

// Each request has all the faults of those below it, too.
func TestRequestsAreDecidedInOrder(t *testing.T) {
	e := startEdge(t, saleRoutes)
	valid, unscoped := e.key("conversionsWrite"), e.key("linksRead")

	for _, tc := range []struct {
		name      string
		header    header
		body      string
		status    int
		cause     string
		challenge string
		evaluated string // X-RateLimit-Remaining
	}{
		{name: "early data", header: header{"Early-Data": "1", "Content-Encoding": "gzip"}, body: "x", status: 425, cause: "early_data"},
		{name: "no key", header: header{"Content-Encoding": "gzip"}, body: "x", status: 401, cause: "missing", challenge: "Bearer"},
		{name: "unknown key", header: header{"Authorization": "no-such-key", "Content-Encoding": "gzip"}, body: "x", status: 401, cause: "unknown", challenge: `Bearer error="invalid_token"`},
		{name: "missing scope", header: header{"Authorization": unscoped.Key, "Content-Encoding": "gzip"}, body: "x", status: 403, cause: "missing_scopes", challenge: `Bearer error="insufficient_scope", scope="conversionsWrite"`},
		{name: "encoded body", header: header{"Authorization": valid.Key, "Content-Encoding": "gzip"}, body: strings.Repeat("x", 70_000), status: 415, evaluated: "2"},
		{name: "long body", header: header{"Authorization": valid.Key}, body: strings.Repeat("x", 70_000), status: 413, evaluated: "1"},
		{name: "nothing attributes the sale", header: header{"Authorization": valid.Key}, body: validSale, status: 400, evaluated: "0"},
		{name: "rate limit", header: header{"Authorization": valid.Key, "Content-Encoding": "gzip"}, body: "x", status: 429, cause: "rate_limit", evaluated: "0"},
		{name: "early data once more", header: header{"Authorization": valid.Key, "Early-Data": "0"}, body: "x", status: 425, cause: "early_data"},
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
			if remaining := got.header.Get("X-RateLimit-Remaining"); remaining != tc.evaluated {
				t.Errorf("X-RateLimit-Remaining %q, want %q", remaining, tc.evaluated)
			}
			if got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control %q", got.header.Get("Cache-Control"))
			}
			id := got.header.Get("X-Request-Id")
			if len(id) != 36 {
				t.Fatalf("X-Request-Id %q is none of ours", id)
			}
			line := written.await(t, "handled request", "uuid", id)
			if tc.cause != "" && line["cause"] != tc.cause {
				t.Errorf("logged cause %v, want %s", line["cause"], tc.cause)
			}
		})
	}
}

func TestASaleIsRecorded(t *testing.T) {
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
		t.Errorf("logged user_id %v and workspace_id %v, want %s and %s", line["user_id"], line["workspace_id"], key.ID, key.WorkspaceID)
	}
}

func TestOtherMethodsAndPathsAreNotTheEdges(t *testing.T) {
	e := startEdge(t, saleRoutes)
	for _, request := range []string{"GET /api/track/sale", "POST /api/track/sale/", "POST /api/track/lead"} {
		method, path, _ := strings.Cut(request, " ")
		if got := e.send(method, path, nil, ""); got.status != 404 || got.header.Get("X-Request-Id") != "" {
			t.Errorf("%s: %d %v", request, got.status, got.header)
		}
	}
}

func TestGuessersAreAnswered429WithTheirBudget(t *testing.T) {
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
	if got.status != 429 || got.header.Get("X-RateLimit-Limit") != "2" || got.header.Get("X-RateLimit-Remaining") != "0" ||
		got.header.Get("X-RateLimit-Reset") == "" || got.header.Get("Retry-After") == "" || got.header.Get("RateLimit") != "" {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := e.send("POST", "/api/track/sale", bearer(valid.Key), ""); got.status != 400 {
		t.Errorf("the cached key of the same address: %d", got.status)
	}
}

func TestA403CostsNoRedisCall(t *testing.T) {
	e := newEdge(t, testenv.Database(t), "redis://127.0.0.1:1")
	e.routes = saleRoutes
	e.mustLoad()
	if got := e.send("POST", "/api/track/sale", bearer(e.key("linksRead").Key), ""); got.status != 403 {
		t.Fatalf("status %d", got.status)
	}
	for _, node := range backend.States()[0].Limits.Nodes {
		if node.Open {
			t.Error("the breaker opened: Redis was asked")
		}
	}
	if got := e.send("POST", "/api/track/sale", bearer(e.key("conversionsWrite").Key), ""); got.status != 400 {
		t.Fatalf("status %d", got.status)
	}
	for _, node := range backend.States()[0].Limits.Nodes {
		if !node.Open {
			t.Error("the breaker is closed: this test does not see whether Redis is asked")
		}
	}
}

func TestSalesNeedTheirScopeWhateverTheRouteAsks(t *testing.T) {
	e := startEdge(t, "api_key_auth\ntrack_sale")
	got := e.send("POST", "/api/track/sale", bearer(e.key("linksRead").Key), validSale)
	if got.status != 403 || !strings.Contains(got.body, `"missingScopes":["conversionsWrite"]`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestHandlersWithoutAVerifiedKeyNameTheFix(t *testing.T) {
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

func TestProxiedCallsCarryTheirLimitAndAreTheSitesOwn(t *testing.T) {
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

func TestAKeysOwnLimitCounts(t *testing.T) {
	e := startEdge(t, saleRoutes)
	key := e.key("conversionsWrite")
	e.sql(`UPDATE hoko.api_keys SET rate_limit = 20, rate_period = '1 hour', rate_burst = 10 WHERE id = $1`, key.ID)
	got := e.send("POST", "/api/track/sale", bearer(key.Key), "")
	if policy := got.header.Get("RateLimit-Policy"); policy != `"default";q=10;w=1800` {
		t.Errorf("RateLimit-Policy %q", policy)
	}
}

func TestHandlersOfAnotherNameHaveBucketsOfTheirOwn(t *testing.T) {
	e := startEdge(t, "api_key_auth\nredis_rate_limit /a* {\nlimit 1/1h\nname a\n}\nredis_rate_limit /b {\nlimit 1/1h\nname b\n}\nrespond ok")
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

func TestABodyThatDoesNotArriveIsAnswered408(t *testing.T) {
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
	if response.StatusCode != 408 || response.Header.Get("X-RateLimit-Remaining") != "2" || response.Header.Get("X-Request-Id") == "" {
		t.Errorf("%d %v", response.StatusCode, response.Header)
	}
}
