package e2e

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"
)

// protocols a client may speak; each contract test runs over all of them.
var protocols = []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}

// client speaks exactly one version of HTTP to the edge and follows no redirect.
func (e *edge) client(t testing.TB, protocol string) *http.Client {
	t.Helper()
	c := &http.Client{Timeout: hangGuard, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	switch protocol {
	case "HTTP/1.1":
		c.Transport = &http.Transport{TLSClientConfig: e.tls(t), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	case "HTTP/2.0":
		c.Transport = &http.Transport{TLSClientConfig: e.tls(t), ForceAttemptHTTP2: true}
	case "HTTP/3.0":
		transport := &http3.Transport{TLSClientConfig: e.tls(t)}
		t.Cleanup(func() { transport.Close() })
		c.Transport = transport
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

// call sends one request; headers come in pairs.
func (e *edge) call(t testing.TB, c *http.Client, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, e.url(path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return do(t, c, req)
}

func do(t testing.TB, c *http.Client, req *http.Request) answer {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(body)}
}

// sell posts a sale with the full key.
func (e *edge) sell(t testing.TB, c *http.Client, body string, headers ...string) answer {
	t.Helper()
	return e.call(t, c, "POST", "/api/track/sale", body, append([]string{"Authorization", "Bearer " + fullKey}, headers...)...)
}

// wantAnswer fails unless status and body are exactly these.
func wantAnswer(t testing.TB, got answer, status int, body string) {
	t.Helper()
	if got.StatusCode != status || got.body != body {
		t.Fatalf("got %d %s (Hoko-Reason %q)\nwant %d %s", got.StatusCode, got.body, got.Header.Get("Hoko-Reason"), status, body)
	}
}

// wantHeader fails unless a header has exactly this one value.
func wantHeader(t testing.TB, got answer, name, value string) {
	t.Helper()
	if values := got.Header.Values(name); len(values) != 1 || values[0] != value {
		t.Fatalf("%s is %q, want %q", name, values, value)
	}
}

func isHTTP1(c *http.Client) bool {
	transport, ok := c.Transport.(*http.Transport)
	return ok && !transport.ForceAttemptHTTP2
}
