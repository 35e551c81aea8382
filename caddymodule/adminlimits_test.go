package caddymodule

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

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
