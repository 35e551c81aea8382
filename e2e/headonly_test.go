package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dial opens a raw HTTP/1.1 connection.
func (e *edge) dial(t testing.TB) *tls.Conn {
	t.Helper()
	config := e.tls(t)
	config.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", e.address(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(hangGuard))
	return conn
}

// readAnswer reads the final answer of a raw connection; an interim one fails the test.
func readAnswer(t testing.TB, r *bufio.Reader) answer {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: "POST"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode < 200 {
		t.Fatalf("an interim %d came first", res.StatusCode)
	}
	return answer{res, string(body)}
}

func TestRefusalsReachAClientThatSentOnlyItsHead(t *testing.T) {
	s := startStack(t, replace("limit 600/1m", "limit 1/1h"))
	if got := s.sell(t, s.client(t, "HTTP/1.1"), validSale); got.StatusCode != 201 {
		t.Fatalf("got %d", got.StatusCode)
	}
	roomy := "hoko_key_with_room"
	s.db.key(roomy, "conversionsWrite")
	s.db.exec("UPDATE hoko.api_keys SET rate_limit = 1000 WHERE id = $1", keyID(roomy))

	refusals := []struct {
		status int
		key    string
		header string
		length int
	}{
		{401, "unknown", "", 70_000},
		{401, "unknown", "", 100},
		{403, readOnlyKey, "", 70_000},
		{429, fullKey, "", 70_000},
		{413, roomy, "", 70_000},
		{415, roomy, "Content-Encoding: gzip\r\n", 70_000},
		{415, roomy, "Content-Encoding: gzip\r\n", 10},
	}
	for _, refusal := range refusals {
		for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
			for _, framing := range []string{fmt.Sprintf("Content-Length: %d\r\n", refusal.length), "Transfer-Encoding: chunked\r\n"} {
				if refusal.status == 413 && strings.HasPrefix(framing, "Transfer") {
					continue // its length is not known before it is read
				}
				t.Run(fmt.Sprintln(refusal.status, expect, framing), func(t *testing.T) {
					conn := s.dial(t)
					fmt.Fprintf(conn, "POST /api/track/sale HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s%s%s\r\n", refusal.key, refusal.header, expect, framing)
					if got := readAnswer(t, bufio.NewReader(conn)); got.StatusCode != refusal.status {
						t.Fatalf("got %d %s", got.StatusCode, got.body)
					}
				})
			}
		}
	}
}

func TestRefusalsReachAClientWhoseBodyNeverComesOverHTTP2And3(t *testing.T) {
	s := startStack(t, nil)
	for _, protocol := range protocols[1:] {
		for _, refusal := range []struct {
			status        int
			key, encoding string
			length        int64
		}{
			{401, "unknown", "", 100}, {403, readOnlyKey, "", 100}, {413, fullKey, "", 70_000}, {415, fullKey, "gzip", 100},
		} {
			t.Run(fmt.Sprint(protocol, " ", refusal.status), func(t *testing.T) {
				body, end := io.Pipe()
				defer end.Close()
				req, err := http.NewRequestWithContext(t.Context(), "POST", s.url("/api/track/sale"), body)
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = refusal.length
				req.Header.Set("Authorization", refusal.key)
				if refusal.encoding != "" {
					req.Header.Set("Content-Encoding", refusal.encoding)
				}
				if got := do(t, s.client(t, protocol), req); got.StatusCode != refusal.status {
					t.Fatalf("got %d %s", got.StatusCode, got.body)
				}
			})
		}
	}
}

func TestAKeepAliveClientWhoseBodyHasArrivedKeepsItsConnectionAfterARefusal(t *testing.T) {
	s := startStack(t, nil)
	conn := s.dial(t)
	reader := bufio.NewReader(conn)
	for _, status := range []int{401, 403, 415, 400, 201} {
		key, header, body := fullKey, "", validSale
		switch status {
		case 401:
			key = "unknown"
		case 403:
			key = readOnlyKey
		case 415:
			header = "Content-Encoding: br\r\n"
		case 400:
			body = "{}"
		}
		fmt.Fprintf(conn, "POST /api/track/sale HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%sContent-Length: %d\r\n\r\n%s", key, header, len(body), body)
		if got := readAnswer(t, reader); got.StatusCode != status || got.Close {
			t.Fatalf("got %d, close %v; want %d on a connection that stays", got.StatusCode, got.Close, status)
		}
	}
}

func TestARefusalReachesAClientThatIsStillSending(t *testing.T) {
	s := startStack(t, nil)
	conn := s.dial(t)
	fmt.Fprintf(conn, "POST /api/track/sale HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer unknown\r\nContent-Length: 50000000\r\n\r\n")
	go io.CopyN(conn, zeros{}, 50_000_000) // ends when the connection does
	if got := readAnswer(t, bufio.NewReader(conn)); got.StatusCode != 401 || got.body != body401 {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestASlowBodyIs408(t *testing.T) {
	s := startStack(t, replace("track_sale @sale", "track_sale @sale {\n\t\t\tbody_timeout 300ms\n\t\t}"))
	conn := s.dial(t)
	fmt.Fprintf(conn, "POST /api/track/sale HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{", fullKey)
	got := readAnswer(t, bufio.NewReader(conn))
	wantAnswer(t, got, 408, `{"error":{"en":"Request timeout","ar":"انتهت مهلة الطلب"}}`)
	wantEdgeHeaders(t, got)
	if s.db.sales() != 0 {
		t.Fatal("a sale was written")
	}
}
