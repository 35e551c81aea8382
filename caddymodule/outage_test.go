package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

func TestOutage_ProxiesWithoutPostgresAndRedis(t *testing.T) {
	page := func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("page")) }
	site := httptest.NewServer(http.HandlerFunc(page))
	defer site.Close()
	e := newEdge(t, "postgres://hoko@127.0.0.1:1/site", "redis://127.0.0.1:1")
	e.routes = strings.Replace(saleRoutes, "respond 404", "reverse_proxy "+site.Listener.Addr().String(), 1)
	e.mustLoad()
	if got := e.send("GET", "/", nil, ""); got.status != 200 || got.body != "page" {
		t.Errorf("%d %s", got.status, got.body)
	}
	got := e.send("POST", "/api/track/sale", bearer("some-key"), validSale)
	if got.status != 503 || got.header.Get("Retry-After") == "" ||
		!strings.Contains(got.body, `"en":"Service temporarily unavailable"`) {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	written.await(t, "request failed", "uuid", got.header.Get("X-Request-Id"))
	written.await(t, "not listening for changed keys", "level", "warn")
}

func TestAPIErrors_SiteFailureOnlyUnderAPI(t *testing.T) {
	e := newEdge(t, testenv.Database(t), testenv.Redis(t))
	e.routes = "reverse_proxy 127.0.0.1:1\nhandle_errors {\n@api path /api/*\napi_errors @api\n}"
	e.mustLoad()
	got := e.send("POST", "/api/links", nil, "{}")
	if got.status != 502 || !strings.Contains(got.body, `"en":"Bad gateway"`) ||
		got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	written.await(t, "handled request", "uuid", got.header.Get("X-Request-Id"))
	if got := e.send("GET", "/page", nil, ""); got.status != 502 || got.body != "" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestAPIErrors_KeepsTheStatus(t *testing.T) {
	e := newEdge(t, testenv.Database(t), testenv.Redis(t))
	e.routes = "error /gone 410\nerror /teapot 418\nerror /odd 599\nerror /redirect 302\nhandle_errors {\napi_errors\n}"
	e.mustLoad()
	for path, want := range map[string]struct {
		status int
		en     string
	}{
		"/gone": {410, "Invalid request"}, "/teapot": {418, "Invalid request"},
		"/odd": {599, "Internal server error"}, "/redirect": {500, "Internal server error"},
	} {
		if got := e.send("GET", path, nil, ""); got.status != want.status || !strings.Contains(got.body, want.en) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestAPIErrors_PassesOnWithoutAnError(t *testing.T) {
	e := newEdge(t, testenv.Database(t), testenv.Redis(t))
	e.routes = "api_errors\nrespond ok"
	e.mustLoad()
	got := e.send("GET", "/", nil, "")
	if got.status != 200 || got.body != "ok" || got.header.Get("X-Request-Id") != "" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
}

func TestOnError_DecidesWithoutRedis(t *testing.T) {
	e := newEdge(t, testenv.Database(t), "redis://127.0.0.1:1")
	e.routes = "api_key_auth"
	for _, name := range []string{"local", "allow", "deny"} {
		e.routes += "\nredis_rate_limit /" + name + " {\nlimit 5/1h\nname " + name + "\non_error " + name + "\n}"
	}
	e.routes += "\nredis_rate_limit /unset {\nlimit 6/1h\nname unset\n}\nrespond ok\nhandle_errors {\napi_errors\n}"
	e.mustLoad()
	key := bearer(e.key("linksRead").Key)
	for path, want := range map[string]struct {
		status int
		limit  string
	}{"/local": {200, "5"}, "/allow": {200, ""}, "/deny": {503, ""}, "/unset": {200, "6"}} {
		got := e.send("GET", path, key, "")
		if got.status != want.status || got.header.Get("X-RateLimit-Limit") != want.limit {
			t.Errorf("%s: %d, limit %q", path, got.status, got.header.Get("X-RateLimit-Limit"))
		}
	}
}

func TestOutage_CachedKeyOutlivesItsTTL(t *testing.T) {
	server := testenv.Postgres(t)
	dsn := server.DSN("postgres")
	if err := postgres.Migrate(t.Context(), dsn, nil); err != nil {
		t.Fatal(err)
	}
	e := newEdge(t, dsn, testenv.Redis(t))
	e.hoko, e.routes = "key_cache {\nttl 1s\n}", "api_key_auth\nrespond ok"
	key := bearer(e.key("linksRead").Key) // before the listener starts, which would invalidate the cached key
	e.mustLoad()
	e.send("GET", "/", key, "")
	eventually(t, "the key is cached", func() bool { return metric(t, "hoko_key_cache_entries") == 1 })
	server.Kill()
	eventually(t, "a stale key is used", func() bool {
		if got := e.send("GET", "/", key, ""); got.status != 200 {
			t.Fatalf("status %d", got.status)
		}
		return metric(t, "hoko_key_stale_total") > 0
	})
}
