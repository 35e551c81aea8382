package contract

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestProxy_PassesEverythingElseUnchanged(t *testing.T) {
	s := harness.StartStack(t, nil)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		requests := []struct{ method, path, body string }{
			{"GET", "/", ""},
			{"GET", "/api/links?q=%E2%9C%93&a=b%20c", ""},
			{"POST", "/api/links", strings.Repeat("ü", 500_000)},
			{"GET", "/api/track/sale", ""},
			{"PUT", "/api/track/sale", "{}"},
			{"DELETE", "/api/track/sale", ""},
			{"OPTIONS", "/api/track/sale", ""},
			{"PURGE", "/anything", ""},
			{"POST", "/api/track/sale/", harness.ValidSale},
			{"POST", "/api/track/sale;x", harness.ValidSale},
			{"POST", "/api/track/sale%20", harness.ValidSale},
			{"POST", "/api/track/sales", harness.ValidSale},
		}
		for _, want := range requests {
			before := len(s.Site.Requests())
			got := s.Call(t, c, want.method, want.path, want.body,
				"Authorization", "Bearer "+harness.FullKey, "X-Custom", "yes", "Hoko-Sale-Id", "forged",
				"hoko-anything", "forged", "Hoko_Sale_Id", "forged", "X.Dotted", "dropped")
			if got.StatusCode != 200 || got.Header.Get("X-Site") != "yes" {
				t.Fatalf("%s %s: got %d %s", want.method, want.path, got.StatusCode, got.Text)
			}
			seen := s.Site.Requests()[before:]
			if len(seen) != 1 || seen[0].Method != want.method || seen[0].URI != want.path ||
				seen[0].Body != want.body {
				t.Fatalf("the site saw %.300v", seen)
			}
			if h := seen[0].Header; h.Get("X-Custom") != "yes" || h.Get("Authorization") != "Bearer "+harness.FullKey {
				t.Fatalf("the site saw the headers %v", h)
			}
			for name := range seen[0].Header {
				if strings.HasPrefix(name, "Hoko-") || strings.ContainsAny(name, "_.") {
					t.Fatalf("%s reached the site", name)
				}
			}
		}
	})
	s.DB.WantSales(t, 0)
}

func TestPathSpellings_ThatCaddyEquatesAreTheRoute(t *testing.T) {
	s := harness.StartStack(t, nil)
	for _, path := range []string{"/API/Track/SALE", "//api//track/sale", "/api/track/%73ale", "/api/x/../track/sale",
		"/api%2ftrack/sale", "/api/track/sale?x=1"} {
		t.Run(path, func(t *testing.T) {
			for _, key := range []struct {
				key    string
				status int
			}{{"unknown", 401}, {harness.ReadOnlyKey, 403}, {harness.FullKey, 201}} {
				conn := s.Dial(t)
				harness.WriteSale(conn, path, key.key, "")
				harness.WantStatus(t, harness.ReadAnswer(t, bufio.NewReader(conn)), key.status)
			}
		})
	}
	s.Site.WantNothingSince(t, 0)
}

func TestProxy_StreamsAnswers(t *testing.T) {
	received := make(chan struct{})
	site := harness.StartSite(t, map[string]http.HandlerFunc{"/stream": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		select {
		case <-received: // the client must receive the first event before the second is written
		case <-r.Context().Done():
			return
		}
		io.WriteString(w, "data: second\n\n")
	}})
	e := harness.StartStackWithSite(t, site, nil)
	res, err := e.Client(t, "HTTP/2.0").Get(e.URL("/stream"))
	testenv.NoError(t, err)
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	if line, err := lines.ReadString('\n'); line != "data: first\n" {
		t.Fatal(line, err)
	}
	close(received)
	if rest, err := io.ReadAll(lines); string(rest) != "\ndata: second\n\n" {
		t.Fatalf("%q %v", rest, err)
	}
}

func TestProxy_PassesUpgradedConnections(t *testing.T) {
	site := harness.StartSite(t, map[string]http.HandlerFunc{"/socket": func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		rw.Flush()
		line, _ := rw.ReadString('\n')
		rw.WriteString("echo " + line)
		rw.Flush()
	}})
	conn := harness.StartStackWithSite(t, site, nil).Dial(t)
	fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	reader := bufio.NewReader(conn)
	res, err := http.ReadResponse(reader, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := reader.ReadString('\n'); line != "echo hello\n" {
		t.Fatalf("%q %v", line, err)
	}
}

func TestStart_WithoutServersProxies(t *testing.T) {
	site := harness.StartSite(t, nil)
	e := harness.Start(t, harness.Settings{DatabaseURL: "postgres://127.0.0.1:1/none", RedisURL: "redis://127.0.0.1:1",
		Upstream: site.Upstream()})
	c := e.Client(t, "HTTP/1.1")
	if got := e.Call(t, c, "GET", "/page", ""); got.StatusCode != 200 || got.Text != "site GET /page" {
		t.Fatalf("got %d %s", got.StatusCode, got.Text)
	}
	got := e.Sell(t, c, harness.ValidSale)
	harness.WantAnswer(t, got, 503, harness.Body503)
	harness.WantEdgeHeaders(t, got)
	if got.Header.Get("Retry-After") == "" {
		t.Error("a 503 without Retry-After")
	}
}

func TestPlainHTTP_IsRedirected(t *testing.T) {
	s := harness.StartStack(t, nil)
	res, err := s.Client(t, "HTTP/1.1").Post(fmt.Sprintf("http://localhost:%d/api/track/sale", s.HTTPPort),
		"application/json", strings.NewReader(harness.ValidSale))
	testenv.NoError(t, err)
	res.Body.Close()
	target, err := url.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode != http.StatusPermanentRedirect || target.Scheme != "https" {
		t.Fatalf("got %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
}
