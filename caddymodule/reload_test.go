package caddymodule

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	dto "github.com/prometheus/client_model/go"

	"hoko.to/edge/caddymodule/backend"
)

// onlyBackend returns the running config's backend and fails the test if there are others.
func onlyBackend(t *testing.T) *backend.Backend {
	t.Helper()
	if n := len(backend.States()); n != 1 {
		t.Fatalf("there are %d backends", n)
	}
	app, err := caddy.ActiveContext().AppIfConfigured("hoko")
	if err != nil {
		t.Fatal(err)
	}
	return app.(*App).lease.Backend
}

// metric returns the sum of a metric's series in the running config's registry.
func metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	for _, sample := range gathered(t, name) {
		sum += sample.GetCounter().GetValue() + sample.GetGauge().GetValue()
	}
	return sum
}

// gathered returns the series of a metric in the running config's registry.
func gathered(t *testing.T, name string) []*dto.Metric {
	t.Helper()
	ctx := caddy.ActiveContext()
	families, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()
		}
	}
	t.Fatalf("no metric %s", name)
	return nil
}

func TestReload_SameSettingsKeepTheBackend(t *testing.T) {
	e := startEdge(t, saleRoutes)
	key := bearer(e.key("conversionsWrite").Key)
	e.send("POST", "/api/track/sale", key, "")
	before, counted := onlyBackend(t), metric(t, "hoko_auth_total")

	e.hoko = "guesses 60/60s" // the default
	e.routes = strings.Replace(saleRoutes, "3/1h", "30/1h", 1)
	e.mustLoad()
	if onlyBackend(t) != before {
		t.Fatal("the reload created a new backend")
	}
	if got := e.send("POST", "/api/track/sale", key, ""); got.header.Get("X-RateLimit-Limit") != "30" {
		t.Errorf("X-RateLimit-Limit %q: the new limit is not applied", got.header.Get("X-RateLimit-Limit"))
	}
	if now := metric(t, "hoko_auth_total"); now != counted+1 {
		t.Errorf("the counter went from %v to %v", counted, now)
	}
	backend.DropExpiring()
	if configs := backend.States()[0].Configs; configs != 1 {
		t.Errorf("%d configs share the backend, want 1", configs)
	}
	if got := e.send("POST", "/api/track/sale", key, ""); got.status != 400 {
		t.Errorf("status %d after the old config's lease has ended", got.status)
	}
}

func TestReload_OtherSettingsSwapTheBackend(t *testing.T) {
	e := startEdge(t, saleRoutes)
	old := onlyBackend(t)
	e.hoko = "guesses 50/1m"
	e.mustLoad()
	if all := backend.States(); len(all) != 2 {
		t.Fatalf("backends %+v", all)
	}
	if got := e.send("POST", "/api/track/sale", bearer(e.key("conversionsWrite").Key), ""); got.status != 400 {
		t.Errorf("status %d", got.status)
	}
	backend.DropExpiring()
	if onlyBackend(t) == old {
		t.Error("the old backend is still running")
	}
}

func TestReload_BackReusesTheFirstBackend(t *testing.T) {
	e := startEdge(t, saleRoutes)
	first := onlyBackend(t)
	e.hoko = "guesses 50/1m"
	e.mustLoad()
	e.hoko = ""
	e.mustLoad()
	backend.DropExpiring()
	if onlyBackend(t) != first {
		t.Error("the reload did not reuse the first backend, which was still running")
	}
}

func TestReload_RequestInFlightIsAnswered(t *testing.T) {
	e := startEdge(t, saleRoutes)
	key := e.key("conversionsWrite").Key
	conn, err := net.Dial("tcp", e.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/track/sale HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n"+
		"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", e.address, key, len(validSale))
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q %v", line, err)
	}
	if _, err := reader.Discard(len("\r\n")); err != nil {
		t.Fatal(err)
	}
	e.hoko = "guesses 50/1m"
	e.mustLoad()
	io.WriteString(conn, validSale)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if reason := response.Header.Get("Hoko-Reason"); response.StatusCode != 400 || reason == "" {
		t.Errorf("status %d, reason %q: the database was not asked", response.StatusCode, reason)
	}
}

func TestStop_LeavesNothingRunning(t *testing.T) {
	e := startEdge(t, saleRoutes)
	e.send("POST", "/api/track/sale", bearer(e.key("conversionsWrite").Key), validSale)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if len(backend.States()) != 1 {
		t.Error("the backend closed while requests may be in flight")
	}
	backend.DropExpiring()
	if left := backend.States(); len(left) != 0 {
		t.Errorf("%d backends are left", len(left))
	}
	eventually(t, "all goroutines have ended", func() bool { return ownGoroutines() == "" })
}

func TestReload_FailureKeepsTheRunningConfig(t *testing.T) {
	e := startEdge(t, saleRoutes)
	running := onlyBackend(t)
	e.hoko = "guesses 50/1m"
	e.routes = "track_sale"
	err := e.load()
	if err == nil || !strings.Contains(err.Error(), "this server has no api_key_auth") {
		t.Errorf("error %v", err)
	}
	if onlyBackend(t) != running {
		t.Error("the failed config's backend is still running")
	}
	if got := e.send("POST", "/api/track/sale", bearer(e.key("conversionsWrite").Key), ""); got.status != 400 {
		t.Errorf("status %d", got.status)
	}
}

func TestRateLimit_SameNameAndLimit(t *testing.T) {
	startEdge(t, "api_key_auth\nredis_rate_limit /a {\nlimit 1/s\n}\n"+
		"redis_rate_limit /b {\nlimit 1/1s burst 1\non_error deny\n}")
}

func TestReload_FailureLeavesNoConnection(t *testing.T) {
	e := startEdge(t, saleRoutes)
	e.send("POST", "/api/track/sale", bearer(e.key("conversionsWrite").Key), "")
	eventually(t, "the edge listens", func() bool { return metric(t, "hoko_key_listener_up") == 1 })
	running, before := onlyBackend(t), e.connections()

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	e.routes += fmt.Sprintf("\n}\nhttp://%s {\n", taken.Addr())
	for i := range 10 {
		e.hoko = fmt.Sprintf("guesses %d/1m", 50+i)
		if err := e.load(); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Fatalf("error %v", err)
		}
		if onlyBackend(t) != running {
			t.Fatalf("reload %d left its backend", i)
		}
	}
	eventually(t, "only the running config has connections", func() bool { return e.connections() <= before })
	if got := e.send("POST", "/api/track/sale", bearer(e.key("conversionsWrite").Key), ""); got.status != 400 {
		t.Errorf("status %d", got.status)
	}
}

func TestStart_ListensWithoutARequest(t *testing.T) {
	startEdge(t, saleRoutes)
	eventually(t, "the edge listens", func() bool { return metric(t, "hoko_key_listener_up") == 1 })
	if lag := metric(t, "hoko_key_heartbeat_lag_seconds"); lag <= 0 || lag > 2 { // the interval
		t.Errorf("the heartbeat took %v s", lag)
	}
}
