package contract

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func sell(t *testing.T, e *harness.Edge, host string) harness.Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+e.Address()+"/api/track/sale",
		strings.NewReader(harness.ValidSale))
	testenv.NoError(t, err)
	req.Host = host
	req.Header.Set("Authorization", harness.FullKey)
	return harness.Do(t, http.DefaultClient, req)
}

func wantMisdirected(t *testing.T, got harness.Answer) {
	t.Helper()
	harness.WantAnswer(t, got, 421, harness.Body421)
	harness.WantEdgeHeaders(t, got)
}

// startPlain starts an edge without HTTPS on a seeded database. It must open no second port.
func startPlain(t *testing.T, s harness.Settings) (*harness.Edge, harness.DB) {
	t.Helper()
	s.DatabaseURL, s.RedisURL, s.Upstream, s.Plain = testenv.Database(t), testenv.Redis(t),
		harness.StartSite(t, nil).Upstream(), true
	d := harness.Seed(t, s.DatabaseURL)
	e := harness.Start(t, s)
	if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", e.HTTPPort)); err == nil {
		conn.Close()
		t.Error("the edge opened another port")
	}
	return e, d
}

func TestUnknownHost_Is421(t *testing.T) {
	s := harness.StartStack(t, nil)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		before := len(s.Site.Requests())
		for _, host := range []string{"127.0.0.1", "edge", "localhost.", "localhost.evil.example", "[::1]:443"} {
			for _, request := range []string{"POST /api/track/sale", "GET /page", "HEAD /api/links"} {
				method, path, _ := strings.Cut(request, " ")
				req, err := http.NewRequestWithContext(t.Context(), method, s.URL(path),
					strings.NewReader(harness.ValidSale))
				testenv.NoError(t, err)
				req.Host = host // as on a connection that a client uses for several hosts
				req.Header.Set("Authorization", harness.FullKey)
				got := harness.Do(t, c, req)
				if method == "HEAD" {
					got.Text = harness.Body421
				}
				wantMisdirected(t, got)
			}
		}
		s.Site.WantNothingSince(t, before)
	})
	s.DB.WantSales(t, 0)
}

func TestPlainHTTP_AnyHostIsRedirected(t *testing.T) {
	s, c := harness.StartStackAndClient(t, "HTTP/1.1", nil)
	for _, host := range []string{"localhost", "127.0.0.1", "evil.example"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST",
			fmt.Sprintf("http://127.0.0.1:%d/api/track/sale", s.HTTPPort), nil)
		testenv.NoError(t, err)
		req.Host = host
		got := harness.Do(t, c, req)
		if got.StatusCode != 308 || !strings.HasPrefix(got.Header.Get("Location"), "https://"+host) {
			t.Errorf("%s: got %d to %q", host, got.StatusCode, got.Header.Get("Location"))
		}
	}
}

func TestOtherPort_UnknownHostIs421(t *testing.T) {
	e, d := startPlain(t, harness.Settings{})
	wantMisdirected(t, sell(t, e, e.Address()))
	wantMisdirected(t, sell(t, e, "localhost."))
	harness.WantAnswer(t, sell(t, e, fmt.Sprint("localhost:", e.Port)), 201, harness.PublishedOK)
	d.WantSales(t, 1)
}

func TestSidecar_RecordsSalesForAnyHost(t *testing.T) {
	e, d := startPlain(t, harness.Settings{Caddyfile: "examples/sidecar.Caddyfile"})
	hosts := []string{"localhost", "localhost.", e.Address(), "edge", "hoko-edge.default.svc.cluster.local:8081"}
	for _, host := range hosts {
		harness.WantAnswer(t, sell(t, e, host), 201, harness.PublishedOK)
	}
	d.WantSales(t, len(hosts))
}
