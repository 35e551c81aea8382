package hostile

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

// last follows each case's bytes. It ends the connection if the edge has not ended it before.
const last = "GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

// hidden is the request that smuggling tries to make the site see.
const hidden = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

// Starts of requests for /a. The cases append fields, and then the body.
const (
	getA     = "GET /a HTTP/1.1\r\nHost: localhost\r\n"
	postA    = "POST /a HTTP/1.1\r\nHost: localhost\r\n"
	chunked  = "Transfer-Encoding: chunked\r\n"
	chunkedA = postA + chunked + "\r\n"

	hiddenBody  = "Content-Length: {n}\r\n\r\n" + hidden
	hiddenChunk = "{x}\r\n" + hidden + "\r\n0\r\n\r\n"
)

// What a client may write on an HTTP/1.1 connection. want is each answer until the edge closes it:
// the status, and what the site saw if it answered; nil accepts any. {n} is the length of hidden.
var smuggling = []struct {
	name, sent string
	want       []string
}{
	{"nothing wrong", postA + "Content-Length: 5\r\n\r\nhello", passed("POST /a 5")},
	{"nothing wrong, chunked", chunkedA + "5\r\nhello\r\n0\r\n\r\n", passed("POST /a 5")},
	{"two in one write", getA + "\r\nGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n",
		[]string{"200 GET /a 0", "200 GET /b 0", "200 GET /last 0"}},
	{"a request as the body of a GET", getA + hiddenBody, passed("GET /a {n}")},
	{"a request as the body of a HEAD", "HEAD /a HTTP/1.1\r\nHost: localhost\r\n" + hiddenBody, passed("HEAD /a {n}")},

	{"a request as the chunked body of a DELETE", "DELETE /a HTTP/1.1\r\nHost: localhost\r\n" + chunked + "\r\n" +
		hiddenChunk, passed("DELETE /a {n}")},
	{"CONNECT", "CONNECT localhost HTTP/1.1\r\nHost: localhost\r\n\r\n", nil},
	{"CONNECT with a body", "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n" + hiddenBody, nil},
	{"CONNECT with a chunked body", "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n" + chunked + "\r\n" +
		hiddenChunk, nil},
	{"CONNECT of a path", "CONNECT /api/track/sale HTTP/1.1\r\nHost: localhost\r\n" + hiddenBody,
		[]string{"405", "200 GET /last 0"}},

	// Two lengths. By RFC 9112 the coding counts, and what follows is the next request.
	{"CL and TE, coding shorter", postA + "Content-Length: 100\r\n" + chunked + "\r\n0\r\n\r\n", passed("POST /a 0")},
	{"TE and CL, length shorter", postA + chunked + "Content-Length: 4\r\n\r\n" + hiddenChunk, passed("POST /a {n}")},
	{"CL 0 and TE", postA + "Content-Length: 0\r\n" + chunked + "\r\n" + hiddenChunk, passed("POST /a {n}")},
	{"TE twice", postA + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", only("501")},
	{"TE chunked and identity", postA + chunked + "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", only("501")},
	{"TE a list", postA + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", only("501")},
	{"TE gzip, chunked", postA + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", only("501")},
	{"TE x", postA + "Content-Length: 0\r\nTransfer-Encoding: xchunked\r\n\r\n", only("501")},
	{"TE identity", postA + "Content-Length: 0\r\nTransfer-Encoding: identity\r\n\r\n", only("501")},
	{"TE empty", postA + "Content-Length: 0\r\nTransfer-Encoding:\r\n\r\n", only("501")},
	{"TE quoted", postA + "Content-Length: 0\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", only("501")},
	{"TE with a vertical tab", postA + "Content-Length: 0\r\nTransfer-Encoding:\vchunked\r\n\r\n", only("400")},
	{"TE with a space before its colon",
		postA + "Content-Length: 0\r\nTransfer-Encoding : chunked\r\n\r\n", only("400")},
	{"TE after a tab", postA + "Content-Length: {n}\r\nTransfer-Encoding:\tChunked\r\n\r\n0\r\n\r\n",
		passed("POST /a 0")},
	{"TE under an alias", postA + "Content-Length: {n}\r\nTransfer_Encoding: chunked\r\n\r\n" + hidden,
		passed("POST /a {n}")},
	{"TE under another alias", postA + "Content-Length: {n}\r\nTransfer.Encoding: chunked\r\n\r\n" + hidden,
		passed("POST /a {n}")},
	{"TE in a fold", postA + "Content-Length: {n}\r\nX-A: b\r\n " + chunked + "\r\n" + hidden, passed("POST /a {n}")},
	{"TE folded", postA + "Content-Length: {n}\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
		passed("POST /a 0")},
	{"TE behind a bare LF", postA + "Content-Length: {n}\r\nX-A: b\n" + chunked + "\r\n0\r\n\r\n", passed("POST /a 0")},
	{"TE behind a bare CR", postA + "Content-Length: 0\r\nX-A: b\rTransfer-Encoding: chunked\r\n\r\n", only("400")},
	{"TE on HTTP/1.0", "POST /a HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nContent-Length: 0\r\n" +
		chunked + "\r\n", nil},
	{"TE in Connection", postA + "Connection: Transfer-Encoding\r\n" + chunked + "\r\n5\r\nhello\r\n0\r\n\r\n",
		passed("POST /a 5")},
	{"CL in Connection", postA + "Connection: Content-Length\r\n" + hiddenBody, passed("POST /a {n}")},
	{"CL twice, differing", postA + "Content-Length: 0\r\n" + hiddenBody, only("400")},
	{"CL twice, alike", postA + "Content-Length: {n}\r\n" + hiddenBody, passed("POST /a {n}")},
	{"CL a list", postA + "Content-Length: 0, 0\r\n\r\n", only("400")},
	{"CL with a plus", postA + "Content-Length: +0\r\n\r\n", only("400")},
	{"CL negative", postA + "Content-Length: -1\r\n\r\n", only("400")},
	{"CL in hex", postA + "Content-Length: 0x0\r\n\r\n", only("400")},
	{"CL beyond 64 bits", postA + "Content-Length: 18446744073709551616\r\n\r\n", only("400")},
	{"CL empty", postA + "Content-Length:\r\n\r\n", only("400")},
	{"CL with leading zeros", postA + "Content-Length: 005\r\n\r\nhello", passed("POST /a 5")},
	{"CL in other digits", postA + "Content-Length: \u0660\r\n\r\n", only("400")},

	// Lines.
	{"a bare LF at every line", "GET /a HTTP/1.1\nHost: localhost\n\n", passed("GET /a 0")},
	{"a bare LF before the empty line", "GET /a HTTP/1.1\r\nHost: localhost\n\r\n", passed("GET /a 0")},
	{"a fold", getA + "X-A: b\r\n\tc\r\n\r\n", passed("GET /a 0")},
	{"a fold as the first field", "GET /a HTTP/1.1\r\n X-A: b\r\nHost: localhost\r\n\r\n", only("400")},
	{"a field without a colon", getA + "X-A\r\n\r\n", only("400")},
	{"a field without a name", getA + ": x\r\n\r\n", only("400")},
	{"a field with a space in its name", getA + "X A: b\r\n\r\n", only("400")},
	{"a NUL in a value", getA + "X-A: b\x00c\r\n\r\n", only("400")},
	{"an empty line first", "\r\nGET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", nil},
	{"a target with a space", "GET /a HTTP/1.1 HTTP/1.1\r\nHost: localhost\r\n\r\n", only("400")},
	{"a target with a tab", "GET\t/a\tHTTP/1.1\r\nHost: localhost\r\n\r\n", only("400")},
	{"a target with a control", "GET /a\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n", only("400")},
	{"an escaped line end in the target", "GET /a%0d%0aX:%20b HTTP/1.1\r\nHost: localhost\r\n\r\n",
		passed("GET /a%0d%0aX:%20b 0")},
	{"a method with a slash", "GET/x /a HTTP/1.1\r\nHost: localhost\r\n\r\n", only("400")},
	{"HTTP/0.9", "GET /a\r\n", only("400")},
	{"HTTP/1.2", "GET /a HTTP/1.2\r\nHost: localhost\r\n\r\n", nil},
	{"HTTP/3.0", "GET /a HTTP/3.0\r\nHost: localhost\r\n\r\n", only("505")},
	{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", nil},
	{"no Host", "GET /a HTTP/1.1\r\n\r\n", only("400")},
	{"two Hosts", getA + "Host: evil.example\r\n\r\n", only("400")},
	{"a Host with a space", "GET /a HTTP/1.1\r\nHost: local host\r\n\r\n", only("400")},
	{"a target with another host", "GET http://evil.example/a HTTP/1.1\r\nHost: localhost\r\n\r\n", nil},

	// Chunks.
	{"a chunk with an extension", chunkedA + "5;a=b\r\nhello\r\n0\r\n\r\n", passed("POST /a 5")},
	{"an extension that quotes a line end", chunkedA + "5;a=\"\r\nhello\r\n0\r\n\r\n", passed("POST /a 5")},
	{"an extension with a bare LF", chunkedA + "2;\nxx\r\n{x}\r\n0\r\n\r\n" + hidden + "0\r\n\r\n", nil},
	{"a chunk's size with a bare LF", chunkedA + "5\nhello\r\n0\r\n\r\n", nil},
	{"a chunk that ends in a bare LF", chunkedA + "5\r\nhello\n0\r\n\r\n", nil},
	{"a chunk longer than its size", chunkedA + "4\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk of 0x5", chunkedA + "0x5\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk of +5", chunkedA + "+5\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk of -1", chunkedA + "-1\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk of 2^64 + 5", chunkedA + "10000000000000005\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk without a size", chunkedA + "\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk's size with leading zeros", chunkedA + "0005\r\nhello\r\n00\r\n\r\n", passed("POST /a 5")},
	{"a chunk's size in upper case", chunkedA + "{X}\r\n" + hidden + "\r\n0\r\n\r\n", passed("POST /a {n}")},
	{"a trailer that frames",
		postA + chunked + "Trailer: Content-Length\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n", nil},
	{"an unannounced trailer", chunkedA + "5\r\nhello\r\n0\r\nHoko-Sale-Id: forged\r\n\r\n", passed("POST /a 5")},
	{"a trailer that only the edge may send, announced", postA + chunked +
		"Trailer: Hoko-Sale-Id\r\n\r\n5\r\nhello\r\n0\r\nHoko-Sale-Id: forged\r\n\r\n", passed("POST /a 5")},
	{"a trailer that never ends", chunkedA + "0\r\nX: y\r\n" + strings.Repeat("X-A: b\r\n", 100) + "\r\n", nil},

	// Other protocols.
	{"a body behind Expect", postA + "Expect: 100-continue\r\n" + hiddenBody, passed("POST /a {n}")},
	{"an unknown Expect", postA + "Expect: x\r\n" + hiddenBody, only("417")},
	{"an upgrade to HTTP/2", getA + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" +
		"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", passed("GET /a 0")},
	{"an upgrade to HTTP/2 whose settings are no hop's", getA +
		"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", passed("GET /a 0")},
	{"an upgrade that the site does not want", getA + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		passed("GET /a 0")},
}

// passed returns the answers if the site sees one request and the connection stays open.
func passed(request string) []string { return []string{"200 " + request, "200 GET /last 0"} }

// only returns the answers if the edge gives one and closes the connection.
func only(status string) []string { return []string{status} }

func lengths(text, body string) string {
	n := len(body)
	return strings.NewReplacer("{n}", fmt.Sprint(n), "{x}", fmt.Sprintf("%x", n), "{X}", fmt.Sprintf("%X", n)).
		Replace(text)
}

func TestSmuggling_EdgeAndSiteSeeTheSameRequests(t *testing.T) {
	s := startWireStack(t, nil)
	for _, c := range smuggling {
		t.Run(c.name, func(t *testing.T) {
			before := s.site.count()
			answers := s.exchange(t, lengths(c.sent, hidden)+last)
			seen, heads, ambiguous := s.site.since(before)
			if len(ambiguous) > 0 {
				t.Fatalf("the site got %v", ambiguous)
			}
			if c.want != nil {
				if want := lengths(strings.Join(c.want, "\n"), hidden); strings.Join(answers, "\n") != want {
					t.Errorf("answered %q, want %q", answers, want)
				}
			}
			if answered := fromSite(answers); !slices.Equal(answered, seen) {
				t.Errorf("the edge answered %q, the site saw %q", answered, seen)
			}
			for i, head := range heads {
				lower := strings.ToLower(head)
				// With HTTP2-Settings, a site could treat the rest of the connection as HTTP/2.
				if strings.Contains(seen[i], "/smuggled") || strings.Contains(lower, "hoko-") ||
					strings.Contains(lower, "http2-settings") {
					t.Errorf("the site saw %q", head)
				}
			}
		})
	}
	s.db.WantSales(t, 0)
}

// A sale in an ambiguous message is recorded and answered once, or not at all.
func TestSmuggling_AmbiguousMessageIsOneSaleOrNone(t *testing.T) {
	s := startWireStack(t, nil)
	for _, c := range smuggling {
		if !strings.HasPrefix(c.sent, "POST /a HTTP/1.1\r\n") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			head := "POST /api/track/sale HTTP/1.1\r\nAuthorization: " + harness.FullKey + "\r\n"
			sent := strings.Replace(c.sent, "POST /a HTTP/1.1\r\n", head, 1)
			sent = strings.ReplaceAll(lengths(sent, harness.ValidSale), hidden, harness.ValidSale)
			before, sales := s.site.count(), s.db.Sales()
			answers := s.exchange(t, sent+last)
			created := 0
			for _, a := range answers {
				if a == "201" {
					created++
				}
			}
			if recorded := s.db.Sales() - sales; recorded != created || created > 1 {
				t.Errorf("%d sales, answered %q", recorded, answers)
			}
			seen, _, ambiguous := s.site.since(before)
			if len(ambiguous) > 0 || !slices.Equal(fromSite(answers), seen) {
				t.Errorf("the edge answered %q, the site saw %q %v", answers, seen, ambiguous)
			}
		})
	}
	if s.db.Sales() == 0 {
		t.Error("no message contained a sale")
	}
}

// exchange writes everything in one call and reads answers until the connection ends.
func (s *wireStack) exchange(t *testing.T, sent string) (answers []string) {
	t.Helper()
	conn := s.Dial(t)
	if _, err := conn.Write([]byte(sent)); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(strings.TrimLeft(sent, "\r\n"), " ")
	reader := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			if harness.IsTimeout(err) {
				t.Fatalf("the edge neither answered nor closed the connection after %q", answers)
			}
			return answers
		}
		if _, err := reader.Discard(int(max(0, res.ContentLength))); method != "HEAD" && err != nil {
			t.Fatal(err)
		}
		method = "GET"
		if res.StatusCode == http.StatusContinue {
			continue
		}
		answers = append(answers, strings.TrimSpace(fmt.Sprint(res.StatusCode, " ", res.Header.Get("X-Seen"))))
	}
}

// fromSite returns what the site saw, according to its answers.
func fromSite(answers []string) (seen []string) {
	for _, a := range answers {
		if _, request, fromSite := strings.Cut(a, " "); fromSite {
			seen = append(seen, request)
		}
	}
	return seen
}
