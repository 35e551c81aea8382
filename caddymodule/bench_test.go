package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/internal/testenv"
)

// The handlers and the access log of a request, without the network.
func BenchmarkServe_401(b *testing.B) {
	benchmarkServe(b, func(*testEdge) string { return "no-such-key" }, "", http.StatusUnauthorized)
}

func BenchmarkServe_Sale(b *testing.B) {
	benchmarkServe(b, func(e *testEdge) string {
		key := e.key("conversionsWrite")
		e.click(key.WorkspaceID)
		return key.Key
	}, withClick, http.StatusCreated)
}

func benchmarkServe(b *testing.B, prepare func(*testEdge) (key string), body string, status int) {
	e := newEdge(b, testenv.Database(b), testenv.Redis(b))
	e.format, e.routes = "hoko", strings.Replace(saleRoutes, "3/1h", "50000/1s", 1)
	e.mustLoad()
	key := prepare(e)
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		b.Fatal(err)
	}
	server := app.(*caddyhttp.App).Servers["srv0"]
	serve := func() {
		r := httptest.NewRequest("POST", "http://"+e.address+"/api/track/sale", strings.NewReader(body))
		r.Header.Set("Authorization", key)
		w := httptest.NewRecorder()
		if server.ServeHTTP(w, r); w.Code != status {
			b.Fatal(w.Code, w.Body)
		}
	}
	serve() // caches the key
	written.reset()
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}
