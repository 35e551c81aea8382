package caddymodule

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/internal/relay"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
)

// askLimits asks a route of the admin endpoint, and returns the status and the body or the error.
func askLimits(method, path string) (status int, text string) {
	for _, route := range (adminState{}).Routes() {
		if pattern, _, _ := strings.Cut(path, "?"); pattern != route.Pattern {
			continue
		}
		recorder := httptest.NewRecorder()
		err := route.Handler.ServeHTTP(recorder, httptest.NewRequest(method, path, nil))
		if failed, ok := errors.AsType[caddy.APIError](err); ok {
			return failed.HTTPStatus, failed.Err.Error()
		}
		return recorder.Code, recorder.Body.String()
	}
	return 0, ""
}

func TestAdminLimits_Errors(t *testing.T) {
	e := startEdge(t, saleRoutes)
	e.key("conversionsWrite")
	e.sql(`INSERT INTO hoko.api_keys (workspace_id, key_hash, key_start)
		SELECT workspace_id, sha256(n::text::bytea), 'same' FROM hoko.api_keys, generate_series(1, 20) n`)
	for _, c := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"POST", "/hoko/limits?key=x", 405, "method not allowed"},
		{"GET", "/hoko/limits/reset?key=x", 405, "method not allowed"},
		{"GET", "/hoko/limits", 400, "ask with "},
		{"GET", "/hoko/limits?key=a&hash=b", 400, "ask with one of key, hash"},
		{"GET", "/hoko/limits?hash=abc", 400, "not a SHA-256"},
		{"GET", "/hoko/limits?key=secret_word", 404, "no such key"},
		{"POST", "/hoko/limits/reset?key=same", 400, "several keys begin with this"},
		{"GET", "/hoko/limits?hash=" + apikey.HashOf("x").String(), 404, "no such key"},
	} {
		status, text := askLimits(c.method, c.path)
		if status != c.status || !strings.Contains(text, c.text) || strings.Contains(text, "secret_word") {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, text)
		}
	}
	created := e.key("conversionsWrite")
	hash := "hash=" + apikey.HashOf(created.Key).String()
	status, text := askLimits(http.MethodGet, "/hoko/limits?"+hash)
	if status != 200 || !strings.Contains(text, created.ID) {
		t.Errorf("%d %s", status, text)
	}
	e.routes = "respond ok"
	e.mustLoad()
	status, text = askLimits(http.MethodGet, "/hoko/limits?"+hash)
	if status != 404 || !strings.Contains(text, "no redis_rate_limit") {
		t.Errorf("without a limit: %d %s", status, text)
	}
}

// Redis has the time that it needs, even if Postgres has used up its own.
func TestAdminLimits_MutePostgres(t *testing.T) {
	server, through := testenv.Relay(t, testenv.Database(t))
	testenv.NoError(t, server.Open())
	e := newEdge(t, through, testenv.Redis(t))
	e.routes = "api_key_auth\nredis_rate_limit {\nlimit 5/1h\n}\nrespond ok"
	e.mustLoad()
	key := e.key("linksRead")
	eventually(t, "the key is cached", func() bool {
		e.send("GET", "/", bearer(key.Key), "")
		asked := ask("key", key.ID)
		return asked.Key != nil && asked.Key.Cache.State == "cached"
	})
	server.Stall(relay.ToClient)
	defer server.Resume()
	hash := apikey.HashOf(key.Key).String()
	for path, method := range map[string]string{
		"/hoko/limits?hash=" + hash: "GET", "/hoko/limits/reset?key=" + key.ID: "POST",
	} {
		if status, text := askLimits(method, path); status != 200 || !strings.Contains(text, `"source":"redis"`) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if got := ask("key", key.ID); got.status != 200 || len(got.Key.Limits) != 1 || got.Key.LimitsError != "" ||
		got.Key.Postgres.Error != "timeout" {
		t.Errorf("%d %s", got.status, got.text)
	}
}

func TestAdminLimits_UnprintableIDs(t *testing.T) {
	startEdge(t, saleRoutes)
	for _, query := range []string{"key=%00", "key=%ff", "key=a%00b", "key=%22%27%3B--"} {
		if status, text := askLimits(http.MethodGet, "/hoko/limits?"+query); status != 404 {
			t.Errorf("%s: %d %s", query, status, text)
		}
		if status, text := askLimits(http.MethodGet, "/hoko/explain?"+query); status != 404 {
			t.Errorf("explain %s: %d %s", query, status, text)
		}
	}
}
