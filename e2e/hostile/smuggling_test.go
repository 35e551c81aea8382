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

// What a client may write on an HTTP/1.1 connection. want is each answer until the edge closes it:
// the status, and what the site saw if it answered; nil accepts any. {n} is the length of hidden.
var smuggling = []struct {
	name, sent string
	want       []string
}{
	{"nothing wrong", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", []string{"200 POST /a 5", "200 GET /last 0"}},
	{"nothing wrong, chunked", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", []string{"200 POST /a 5", "200 GET /last 0"}},
	{"two in one write", "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n", []string{"200 GET /a 0", "200 GET /b 0", "200 GET /last 0"}},
	{"a request as the body of a GET", "GET /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\n\r\n" + hidden, []string{"200 GET /a {n}", "200 GET /last 0"}},
	{"a request as the body of a HEAD", "HEAD /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\n\r\n" + hidden, []string{"200 HEAD /a {n}", "200 GET /last 0"}},

	{"a request as the chunked body of a DELETE", "DELETE /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{x}\r\n" + hidden + "\r\n0\r\n\r\n", []string{"200 DELETE /a {n}", "200 GET /last 0"}},
	{"CONNECT", "CONNECT localhost HTTP/1.1\r\nHost: localhost\r\n\r\n", nil},
	{"CONNECT with a body", "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\nContent-Length: {n}\r\n\r\n" + hidden, nil},
	{"CONNECT with a chunked body", "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\nTransfer-Encoding: chunked\r\n\r\n{x}\r\n" + hidden + "\r\n0\r\n\r\n", nil},
	{"CONNECT of a path", "CONNECT /api/track/sale HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\n\r\n" + hidden, []string{"405", "200 GET /last 0"}},

	// Two lengths. By RFC 9112 the coding counts, and what follows is the next request.
	{"CL and TE, the coding shorter", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"200 POST /a 0", "200 GET /last 0"}},
	{"TE and CL, the length shorter", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{x}\r\n" + hidden + "\r\n0\r\n\r\n", []string{"200 POST /a {n}", "200 GET /last 0"}},
	{"CL 0 and TE", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n{x}\r\n" + hidden + "\r\n0\r\n\r\n", []string{"200 POST /a {n}", "200 GET /last 0"}},
	{"TE twice", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"501"}},
	{"TE chunked and identity", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", []string{"501"}},
	{"TE a list", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", []string{"501"}},
	{"TE gzip, chunked", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", []string{"501"}},
	{"TE x", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: xchunked\r\n\r\n", []string{"501"}},
	{"TE identity", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: identity\r\n\r\n", []string{"501"}},
	{"TE empty", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding:\r\n\r\n", []string{"501"}},
	{"TE quoted", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", []string{"501"}},
	{"TE with a vertical tab", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding:\vchunked\r\n\r\n", []string{"400"}},
	{"TE with a space before the colon", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding : chunked\r\n\r\n", []string{"400"}},
	{"TE after a tab", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\nTransfer-Encoding:\tChunked\r\n\r\n0\r\n\r\n", []string{"200 POST /a 0", "200 GET /last 0"}},
	{"TE under an alias", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\nTransfer_Encoding: chunked\r\n\r\n" + hidden, []string{"200 POST /a {n}", "200 GET /last 0"}},
	{"TE under another alias", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\nTransfer.Encoding: chunked\r\n\r\n" + hidden, []string{"200 POST /a {n}", "200 GET /last 0"}},
	{"TE in a fold", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\nX-A: b\r\n Transfer-Encoding: chunked\r\n\r\n" + hidden, []string{"200 POST /a {n}", "200 GET /last 0"}},
	{"TE folded", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", []string{"200 POST /a 0", "200 GET /last 0"}},
	{"TE behind a bare LF", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\nX-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"200 POST /a 0", "200 GET /last 0"}},
	{"TE behind a bare CR", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nX-A: b\rTransfer-Encoding: chunked\r\n\r\n", []string{"400"}},
	{"TE on HTTP/1.0", "POST /a HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", nil},
	{"TE in Connection", "POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", []string{"200 POST /a 5", "200 GET /last 0"}},
	{"CL in Connection", "POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: Content-Length\r\nContent-Length: {n}\r\n\r\n" + hidden, []string{"200 POST /a {n}", "200 GET /last 0"}},
	{"CL twice, differing", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: {n}\r\n\r\n" + hidden, []string{"400"}},
	{"CL twice, alike", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\nContent-Length: {n}\r\n\r\n" + hidden, []string{"200 POST /a {n}", "200 GET /last 0"}},
	{"CL a list", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0, 0\r\n\r\n", []string{"400"}},
	{"CL with a plus", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: +0\r\n\r\n", []string{"400"}},
	{"CL negative", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", []string{"400"}},
	{"CL in hex", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x0\r\n\r\n", []string{"400"}},
	{"CL beyond 64 bits", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551616\r\n\r\n", []string{"400"}},
	{"CL empty", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length:\r\n\r\n", []string{"400"}},
	{"CL with leading zeros", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 005\r\n\r\nhello", []string{"200 POST /a 5", "200 GET /last 0"}},
	{"CL in other digits", "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: \u0660\r\n\r\n", []string{"400"}},

	// Lines.
	{"a bare LF at every line", "GET /a HTTP/1.1\nHost: localhost\n\n", []string{"200 GET /a 0", "200 GET /last 0"}},
	{"a bare LF before the empty line", "GET /a HTTP/1.1\r\nHost: localhost\n\r\n", []string{"200 GET /a 0", "200 GET /last 0"}},
	{"a fold", "GET /a HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n\tc\r\n\r\n", []string{"200 GET /a 0", "200 GET /last 0"}},
	{"a fold as the first field", "GET /a HTTP/1.1\r\n X-A: b\r\nHost: localhost\r\n\r\n", []string{"400"}},
	{"a field without a colon", "GET /a HTTP/1.1\r\nHost: localhost\r\nX-A\r\n\r\n", []string{"400"}},
	{"a field without a name", "GET /a HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n", []string{"400"}},
	{"a field with a space in its name", "GET /a HTTP/1.1\r\nHost: localhost\r\nX A: b\r\n\r\n", []string{"400"}},
	{"a NUL in a value", "GET /a HTTP/1.1\r\nHost: localhost\r\nX-A: b\x00c\r\n\r\n", []string{"400"}},
	{"an empty line first", "\r\nGET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", nil},
	{"a target with a space", "GET /a HTTP/1.1 HTTP/1.1\r\nHost: localhost\r\n\r\n", []string{"400"}},
	{"a target with a tab", "GET\t/a\tHTTP/1.1\r\nHost: localhost\r\n\r\n", []string{"400"}},
	{"a target with a control", "GET /a\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n", []string{"400"}},
	{"an escaped line end in the target", "GET /a%0d%0aX:%20b HTTP/1.1\r\nHost: localhost\r\n\r\n", []string{"200 GET /a%0d%0aX:%20b 0", "200 GET /last 0"}},
	{"a method with a slash", "GET/x /a HTTP/1.1\r\nHost: localhost\r\n\r\n", []string{"400"}},
	{"HTTP/0.9", "GET /a\r\n", []string{"400"}},
	{"HTTP/1.2", "GET /a HTTP/1.2\r\nHost: localhost\r\n\r\n", nil},
	{"HTTP/3.0", "GET /a HTTP/3.0\r\nHost: localhost\r\n\r\n", []string{"505"}},
	{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", nil},
	{"no Host", "GET /a HTTP/1.1\r\n\r\n", []string{"400"}},
	{"two Hosts", "GET /a HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", []string{"400"}},
	{"a Host with a space", "GET /a HTTP/1.1\r\nHost: local host\r\n\r\n", []string{"400"}},
	{"a target with another host", "GET http://evil.example/a HTTP/1.1\r\nHost: localhost\r\n\r\n", nil},

	// Chunks.
	{"a chunk with an extension", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", []string{"200 POST /a 5", "200 GET /last 0"}},
	{"an extension that quotes a line end", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"\r\nhello\r\n0\r\n\r\n", []string{"200 POST /a 5", "200 GET /last 0"}},
	{"an extension with a bare LF", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n{x}\r\n0\r\n\r\n" + hidden + "0\r\n\r\n", nil},
	{"a chunk's size with a bare LF", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", nil},
	{"a chunk that ends in a bare LF", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", nil},
	{"a chunk longer than its size", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk of 0x5", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk of +5", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk of -1", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk of 2^64 + 5", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk without a size", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", nil},
	{"a chunk's size with leading zeros", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n00\r\n\r\n", []string{"200 POST /a 5", "200 GET /last 0"}},
	{"a chunk's size in upper case", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{X}\r\n" + hidden + "\r\n0\r\n\r\n", []string{"200 POST /a {n}", "200 GET /last 0"}},
	{"a trailer that frames", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n", nil},
	{"an unannounced trailer", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nHoko-Sale-Id: forged\r\n\r\n", []string{"200 POST /a 5", "200 GET /last 0"}},
	{"a trailer of the edge's own, announced", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: Hoko-Sale-Id\r\n\r\n5\r\nhello\r\n0\r\nHoko-Sale-Id: forged\r\n\r\n", []string{"200 POST /a 5", "200 GET /last 0"}},
	{"a trailer that never ends", "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n" + strings.Repeat("X-A: b\r\n", 100) + "\r\n", nil},

	// Other protocols.
	{"a body behind Expect", "POST /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {n}\r\n\r\n" + hidden, []string{"200 POST /a {n}", "200 GET /last 0"}},
	{"an unknown Expect", "POST /a HTTP/1.1\r\nHost: localhost\r\nExpect: x\r\nContent-Length: {n}\r\n\r\n" + hidden, []string{"417"}},
	{"an upgrade to HTTP/2", "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", []string{"200 GET /a 0", "200 GET /last 0"}},
	{"an upgrade to HTTP/2 whose settings are no hop's", "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", []string{"200 GET /a 0", "200 GET /last 0"}},
	{"an upgrade that the site does not want", "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", []string{"200 GET /a 0", "200 GET /last 0"}},
}

func lengths(text string) string {
	n := len(hidden)
	return strings.NewReplacer("{n}", fmt.Sprint(n), "{x}", fmt.Sprintf("%x", n), "{X}", fmt.Sprintf("%X", n)).Replace(text)
}

func TestSmuggling_EdgeAndSiteSeeTheSameRequests(t *testing.T) {
	s := startWireStack(t, nil)
	for _, c := range smuggling {
		t.Run(c.name, func(t *testing.T) {
			before := s.site.count()
			answers := s.exchange(t, lengths(c.sent)+last)
			seen, heads, ambiguous := s.site.since(before)
			if len(ambiguous) > 0 {
				t.Fatalf("the site got %v", ambiguous)
			}
			if c.want != nil {
				if want := lengths(strings.Join(c.want, "\n")); strings.Join(answers, "\n") != want {
					t.Errorf("answered %q, want %q", answers, want)
				}
			}
			if answered := fromSite(answers); !slices.Equal(answered, seen) {
				t.Errorf("the edge answered %q, the site saw %q", answered, seen)
			}
			for i, head := range heads {
				// With HTTP2-Settings, a site could treat the rest of the connection as HTTP/2.
				if lower := strings.ToLower(head); strings.Contains(seen[i], "/smuggled") || strings.Contains(lower, "hoko-") || strings.Contains(lower, "http2-settings") {
					t.Errorf("the site saw %q", head)
				}
			}
		})
	}
	if n := s.db.Sales(); n != 0 {
		t.Errorf("%d sales", n)
	}
}

// A sale in an ambiguous message is recorded and answered once, or not at all.
func TestSmuggling_AmbiguousMessageIsOneSaleOrNone(t *testing.T) {
	s := startWireStack(t, nil)
	for _, c := range smuggling {
		if !strings.HasPrefix(c.sent, "POST /a HTTP/1.1\r\n") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			sent := strings.Replace(c.sent, "POST /a HTTP/1.1\r\n", "POST /api/track/sale HTTP/1.1\r\nAuthorization: "+harness.FullKey+"\r\n", 1)
			sent = strings.NewReplacer("{n}", fmt.Sprint(len(harness.ValidSale)), "{x}", fmt.Sprintf("%x", len(harness.ValidSale)), "{X}", fmt.Sprintf("%X", len(harness.ValidSale)),
				hidden, harness.ValidSale).Replace(sent)
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
