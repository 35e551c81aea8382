package harness

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"hoko.to/edge/internal/testenv"
)

// Protocols lists the versions of HTTP that a client can use.
var Protocols = []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}

// Client returns a client that uses only one of Protocols and follows no redirects.
func (e *Edge) Client(t testing.TB, protocol string) *http.Client {
	t.Helper()
	last := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &http.Client{Timeout: HangGuard, CheckRedirect: last}
	switch protocol {
	case "HTTP/1.1":
		noUpgrade := map[string]func(string, *tls.Conn) http.RoundTripper{}
		c.Transport = &http.Transport{TLSClientConfig: e.TLS(t), TLSNextProto: noUpgrade}
	case "HTTP/2.0":
		c.Transport = &http.Transport{TLSClientConfig: e.TLS(t), ForceAttemptHTTP2: true}
	case "HTTP/3.0":
		transport := &http3.Transport{TLSClientConfig: e.TLS(t)}
		t.Cleanup(func() { transport.Close() })
		c.Transport = transport
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// Answer is a response whose body has been read into Text.
type Answer struct {
	*http.Response
	Text string
}

// Call sends one request and returns its answer. headers alternates names and values.
func (e *Edge) Call(t testing.TB, c *http.Client, method, path, body string, headers ...string) Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, e.URL(path), strings.NewReader(body))
	testenv.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return Do(t, c, req)
}

// Do sends a request and returns its answer. An error fails the test.
func Do(t testing.TB, c *http.Client, req *http.Request) Answer {
	t.Helper()
	got, err := send(c, req)
	testenv.NoError(t, err)
	return got
}

func send(c *http.Client, req *http.Request) (Answer, error) {
	res, err := c.Do(req)
	if err != nil {
		return Answer{&http.Response{}, ""}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return Answer{res, string(body)}, err
}

// Sell posts a sale with FullKey. headers alternates names and values.
func (e *Edge) Sell(t testing.TB, c *http.Client, body string, headers ...string) Answer {
	t.Helper()
	headers = append([]string{"Authorization", "Bearer " + FullKey}, headers...)
	return e.Call(t, c, "POST", "/api/track/sale", body, headers...)
}

// SellAs posts ValidSale with an Authorization header. headers alternates names and values.
func (e *Edge) SellAs(t testing.TB, c *http.Client, authorization string, headers ...string) Answer {
	t.Helper()
	headers = append([]string{"Authorization", authorization}, headers...)
	return e.Call(t, c, "POST", "/api/track/sale", ValidSale, headers...)
}

// Dial opens a raw HTTP/1.1 connection.
func (e *Edge) Dial(t testing.TB) *tls.Conn {
	t.Helper()
	return e.DialWith(t, new(net.Dialer), "http/1.1")
}

// DialWith opens a raw TLS connection and offers protocol, an ALPN name.
func (e *Edge) DialWith(t testing.TB, dialer *net.Dialer, protocol string) *tls.Conn {
	t.Helper()
	config := e.TLS(t)
	config.NextProtos = []string{protocol}
	conn, err := tls.DialWithDialer(dialer, "tcp", e.Address(), config)
	testenv.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(HangGuard))
	return conn
}

// ReadAnswer reads the final answer from a raw connection. An interim (1xx) answer fails the test.
func ReadAnswer(t testing.TB, r *bufio.Reader) Answer {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: "POST"})
	testenv.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	testenv.NoError(t, err)
	if res.StatusCode < 200 {
		t.Fatalf("an interim %d came first", res.StatusCode)
	}
	return Answer{res, string(body)}
}

// Zeros is an endless reader of zero bytes.
type Zeros struct{}

// Read fills p with zeros.
func (Zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// EachProtocol runs a subtest for each of Protocols against one edge.
func EachProtocol(t *testing.T, e *Edge, test func(t *testing.T, c *http.Client)) {
	for _, protocol := range Protocols {
		t.Run(protocol, func(t *testing.T) {
			c := e.Client(t, protocol)
			if got := e.Call(t, c, "GET", "/protocol", "").Proto; got != protocol {
				t.Fatalf("spoke %s, not %s", got, protocol)
			}
			test(t, c)
		})
	}
}

// WriteSale writes a POST of ValidSale as HTTP/1.1. Each of fields ends in CRLF. Unlike a client,
// it sends path as it is.
func WriteSale(w io.Writer, path, authorization, fields string) {
	fmt.Fprintf(w, "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		path, authorization, fields, len(ValidSale), ValidSale)
}
