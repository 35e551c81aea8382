package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const misdirectedBody = `{"error":{"en":"Misdirected request","ar":"طلب موجه إلى خادم غير صحيح"}}`

func (e *testEdge) wantMisdirected(host string) {
	e.t.Helper()
	got := e.send("POST", "/api/track/sale", header{"Host": host}, validSale)
	if got.status != 421 || got.body != misdirectedBody {
		e.t.Errorf("%s: status %d %s", host, got.status, got.body)
	}
	if got.header.Get("Cache-Control") != "no-store" || len(got.header.Get("X-Request-Id")) != 36 {
		e.t.Errorf("%s: header %v", host, got.header)
	}
}

func TestMisdirected_UnknownHostIs421(t *testing.T) {
	e := startEdge(t, saleRoutes)
	for _, host := range []string{"localhost", "127.0.0.1.", "127.0.0.2:80", "[::1]", "evil.example"} {
		e.wantMisdirected(host)
	}
	for _, host := range []string{"127.0.0.1", "127.0.0.1:1", e.address} {
		if got := e.send("POST", "/api/track/sale", header{"Host": host}, ""); got.status != 401 {
			t.Errorf("%s: status %d", host, got.status)
		}
	}
	got := e.send("GET", "/", header{"Host": "evil.example"}, "")
	line := written.await(t, "handled request", "uuid", got.header.Get("X-Request-Id"))
	if got.status != 421 || line["cause"] != "host" {
		t.Errorf("status %d, line %v", got.status, line)
	}
}

func TestMisdirected_OtherSitesKeepTheirHosts(t *testing.T) {
	e := newEdge(t, "postgres://hoko@127.0.0.1:1/site", "redis://127.0.0.1:1")
	_, port, _ := strings.Cut(e.address, ":")
	e.routes = fmt.Sprintf(`%s
}
http://plain.example:%[2]s, http://*.plain.example:%[2]s {
	bind 127.0.0.1
	respond "plain"
}
http://empty.example:%[2]s {
	bind 127.0.0.1
`, saleRoutes, port)
	e.routes = strings.Replace(e.routes, "@sale {", "bind 127.0.0.1\n\t@sale {", 1)
	e.mustLoad()
	for host, want := range map[string]string{
		"plain.example": "200 plain", "A.Plain.example": "200 plain", "empty.example": "200 ",
	} {
		if got := e.send("GET", "/", header{"Host": host}, ""); fmt.Sprintf("%d %s", got.status, got.body) != want {
			t.Errorf("%s: %d %s", host, got.status, got.body)
		}
	}
	e.wantMisdirected("a.b.plain.example")
	e.wantMisdirected("evil.example")
}

func TestMisdirected_SiteWithoutHostTakesAll(t *testing.T) {
	e := newEdge(t, "postgres://hoko@127.0.0.1:1/site", "redis://127.0.0.1:1")
	_, port, _ := strings.Cut(e.address, ":")
	e.routes = strings.Replace(saleRoutes, "@sale {", "bind 127.0.0.1\n\t@sale {", 1) +
		fmt.Sprintf("\n}\nhttp://:%s {\n\tbind 127.0.0.1\n\trespond /known \"any\"", port)
	e.mustLoad()
	for path, want := range map[string]string{"/known": "any", "/unknown": ""} {
		if got := e.send("GET", path, header{"Host": "evil.example"}, ""); got.status != 200 || got.body != want {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

// Caddy provisions named routes after all others.
func TestMisdirected_NamedRoutes(t *testing.T) {
	for name, errors := range map[string]string{
		"no error routes": "", "error routes": "handle_errors {\n\tapi_errors\n}",
	} {
		t.Run(name, func(t *testing.T) {
			e := newEdge(t, "postgres://hoko@127.0.0.1:1/site", "redis://127.0.0.1:1")
			e.routes = "invoke sale\n" + errors + "\n}\n&(sale) {\napi_key_auth\ntrack_sale"
			e.mustLoad()
			if got := e.send("POST", "/api/track/sale", header{"Host": "evil.example"}, validSale); got.status != 421 {
				t.Errorf("another host: status %d %s", got.status, got.body)
			}
			if got := e.send("POST", "/api/track/sale", bearer("any"), validSale); got.status != 503 {
				t.Errorf("status %d %s", got.status, got.body)
			}
		})
	}
}

func TestMisdirected_WithoutErrorRoutes(t *testing.T) {
	e := newEdge(t, "postgres://hoko@127.0.0.1:1/site", "redis://127.0.0.1:1")
	e.routes = "api_key_auth /api/*\nerror broken 502"
	e.mustLoad()
	if got := e.send("GET", "/", nil, ""); got.status != 502 {
		t.Errorf("status %d", got.status)
	}
	if line := written.await(t, "request failed", "error", "broken"); line["logger"] != "http.log.error" {
		t.Errorf("logged %v", line)
	}
	if strings.Contains(written.text(), "err_trace") {
		t.Errorf("Caddy logged the error, too: %s", written.text())
	}
	if line := written.await(t, "handled request", "cause", "bad_gateway"); line["reason"] != "broken" {
		t.Errorf("logged %v", line)
	}
	e.wantMisdirected("evil.example")
}

// A JSON config may limit a site's route to some paths of its host.
func TestMisdirected_NotForAnotherPathOfAHost(t *testing.T) {
	e := newEdge(t, "postgres://hoko@127.0.0.1:1/site", "redis://127.0.0.1:1")
	e.routes = saleRoutes
	config := strings.Replace(string(e.config()), `["127.0.0.1"]}`, `["127.0.0.1"],"path":["/api/*"]}`, 1)
	if !json.Valid([]byte(config)) || config == string(e.config()) {
		t.Fatal(config)
	}
	mustRun(t, []byte(config))
	if got := e.send("GET", "/page", nil, ""); got.status != http.StatusOK || got.body != "" {
		t.Errorf("status %d %s", got.status, got.body)
	}
	e.wantMisdirected("evil.example")
}
