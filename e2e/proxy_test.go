package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
)

func TestEverythingElseReachesTheSiteUntouched(t *testing.T) {
	s := startStack(t, nil)
	eachProtocol(t, s.edge, func(t *testing.T, c *http.Client) {
		requests := []struct{ method, path, body string }{
			{"GET", "/", ""},
			{"GET", "/api/links?q=%E2%9C%93&a=b%20c", ""},
			{"POST", "/api/links", strings.Repeat("ü", 500_000)},
			{"GET", "/api/track/sale", ""},
			{"PUT", "/api/track/sale", "{}"},
			{"DELETE", "/api/track/sale", ""},
			{"OPTIONS", "/api/track/sale", ""},
			{"PURGE", "/anything", ""},
			{"POST", "/api/track/sale/", validSale},
			{"POST", "/api/track/sale;x", validSale},
			{"POST", "/api/track/sale%20", validSale},
			{"POST", "/api/track/sales", validSale},
		}
		for _, want := range requests {
			before := len(s.site.requests())
			got := s.call(t, c, want.method, want.path, want.body, "Authorization", "Bearer "+fullKey, "X-Custom", "yes",
				"Hoko-Sale-Id", "forged", "hoko-anything", "forged", "Hoko_Sale_Id", "forged", "X.Dotted", "dropped")
			if got.StatusCode != 200 || got.Header.Get("X-Site") != "yes" {
				t.Fatalf("%s %s: got %d %s", want.method, want.path, got.StatusCode, got.body)
			}
			seen := s.site.requests()[before:]
			if len(seen) != 1 || seen[0].Method != want.method || seen[0].URI != want.path || seen[0].Body != want.body {
				t.Fatalf("the site saw %.300v", seen)
			}
			if h := seen[0].Header; h.Get("X-Custom") != "yes" || h.Get("Authorization") != "Bearer "+fullKey {
				t.Fatalf("the site saw the headers %v", h)
			}
			for name := range seen[0].Header {
				if strings.HasPrefix(name, "Hoko-") || strings.ContainsAny(name, "_.") {
					t.Fatalf("%s reached the site", name)
				}
			}
		}
	})
	if s.db.sales() != 0 {
		t.Fatal("a sale was written")
	}
}

func TestTheSpellingsThatThePathMatcherEquatesAreTheRoute(t *testing.T) {
	s := startStack(t, nil)
	for _, path := range []string{"/API/Track/SALE", "//api//track/sale", "/api/track/%73ale", "/api/x/../track/sale", "/api%2ftrack/sale", "/api/track/sale?x=1"} {
		t.Run(path, func(t *testing.T) {
			for _, key := range []struct {
				key    string
				status int
			}{{"unknown", 401}, {readOnlyKey, 403}, {fullKey, 201}} {
				conn := s.dial(t) // raw: an HTTP client would clean the path
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n%s", path, key.key, len(validSale), validSale)
				if got := readAnswer(t, bufio.NewReader(conn)); got.StatusCode != key.status {
					t.Fatalf("got %d %s, want %d", got.StatusCode, got.body, key.status)
				}
			}
		})
	}
	if seen := s.site.requests(); len(seen) != 0 {
		t.Fatalf("the site saw %v", seen)
	}
}

func TestAnswersStreamThroughTheEdge(t *testing.T) {
	received := make(chan struct{})
	site := startSite(t, map[string]http.HandlerFunc{"/stream": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		select {
		case <-received: // the client has the first event before the second is written
		case <-r.Context().Done():
			return
		}
		io.WriteString(w, "data: second\n\n")
	}})
	dsn := testenv.Database(t)
	e := start(t, settings{databaseURL: dsn, redisURL: testenv.Redis(t), upstream: site.upstream()})
	res, err := e.client(t, "HTTP/2.0").Get(e.url("/stream"))
	if err != nil {
		t.Fatal(err)
	}
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

func TestAnUpgradedConnectionPassesThroughTheEdge(t *testing.T) {
	site := startSite(t, map[string]http.HandlerFunc{"/socket": func(w http.ResponseWriter, r *http.Request) {
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
	e := start(t, settings{databaseURL: testenv.Database(t), redisURL: testenv.Redis(t), upstream: site.upstream()})
	conn := e.dial(t)
	fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
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

func TestTheEdgeStartsAndProxiesWithoutPostgresAndRedis(t *testing.T) {
	site := startSite(t, nil)
	e := start(t, settings{databaseURL: "postgres://nobody@127.0.0.1:1/none", redisURL: "redis://127.0.0.1:1", upstream: site.upstream()})
	c := e.client(t, "HTTP/1.1")
	if got := e.call(t, c, "GET", "/page", ""); got.StatusCode != 200 || got.body != "site GET /page" {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	got := e.sell(t, c, validSale)
	wantAnswer(t, got, 503, body503)
	wantEdgeHeaders(t, got)
	if got.Header.Get("Retry-After") == "" {
		t.Error("a 503 without Retry-After")
	}
}

func TestPlainHTTPIsRedirected(t *testing.T) {
	s := startStack(t, nil)
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: hangGuard}
	res, err := c.Post(fmt.Sprintf("http://localhost:%d/api/track/sale", s.http), "application/json", strings.NewReader(validSale))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	target, err := url.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode != http.StatusPermanentRedirect || target.Scheme != "https" {
		t.Fatalf("got %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
}
