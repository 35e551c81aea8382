package hostile

import (
	"fmt"
	"slices"
	"testing"

	"hoko.to/edge/e2e/harness"
)

// Requests that HTTP/2 can carry but HTTP/1.1, which the edge speaks to the site, cannot, or not
// unambiguously. want is the outcome; "" accepts any.
var downgrades = []struct {
	name    string
	head    harness.Fields
	body    string
	trailer harness.Fields
	want    string
}{
	{"nothing wrong", harness.Post("/a"), "hello", nil, "200 POST /a 5"},
	{"nothing wrong, with its length", harness.Post("/a", "content-length", "5"), "hello", nil, "200 POST /a 5"},
	{"a request as the body", harness.Post("/a"), hidden, nil, fmt.Sprintf("200 POST /a %d", len(hidden))},
	{"a length of 0 and a body", harness.Post("/a", "content-length", "0"), hidden, nil, ""},
	{"a length shorter than the body", harness.Post("/a", "content-length", "3"), "hello", nil, harness.Aborted},
	{"a length longer than the body", harness.Post("/a", "content-length", "50"), "hello", nil, ""},
	{"a length and no body", harness.Post("/a", "content-length", "50"), "", nil, ""},
	{"two lengths", harness.Post("/a", "content-length", "5", "content-length", "0"), "hello", nil, ""},
	{"a length with a plus", harness.Post("/a", "content-length", "+5"), "hello", nil, ""},
	{"transfer-encoding", harness.Post("/a", "transfer-encoding", "chunked"), "0\r\n\r\n" + hidden, nil, ""},
	{"transfer-encoding and a length", harness.Post("/a", "content-length", "5", "transfer-encoding", "chunked"), "0\r\n\r\n", nil, ""},
	{"transfer-encoding in capitals", harness.Post("/a", "Transfer-Encoding", "chunked"), "0\r\n\r\n" + hidden, nil, harness.Aborted},
	{"transfer-encoding under an alias", harness.Post("/a", "transfer_encoding", "chunked"), "0\r\n\r\n", nil, "200 POST /a 5"},
	{"connection", harness.Post("/a", "connection", "close, content-length"), "hello", nil, ""},
	{"keep-alive", harness.Post("/a", "keep-alive", "5"), "hello", nil, ""},
	{"upgrade", harness.Post("/a", "upgrade", "h2c"), "hello", nil, ""},
	{"te", harness.Post("/a", "te", "chunked"), "hello", nil, ""},
	{"a line end in a value", harness.Post("/a", "x-a", "b\r\ntransfer-encoding: chunked"), "hello", nil, harness.Aborted},
	{"a bare LF in a value", harness.Post("/a", "x-a", "b\ntransfer-encoding: chunked"), "hello", nil, harness.Aborted},
	{"a NUL in a value", harness.Post("/a", "x-a", "b\x00"), "hello", nil, harness.Aborted},
	{"a line end in a name", harness.Post("/a", "x-a: b\r\ntransfer-encoding", "chunked"), "hello", nil, harness.Aborted},
	{"a colon in a name", harness.Post("/a", "x-a:", "b"), "hello", nil, harness.Aborted},
	{"a space in a name", harness.Post("/a", "transfer-encoding ", "chunked"), "hello", nil, harness.Aborted},
	{"a capital in a name", harness.Post("/a", "X-A", "b"), "hello", nil, harness.Aborted},
	{"an empty name", harness.Post("/a", "", "b"), "hello", nil, harness.Aborted},
	{"a space in the path", harness.Post("/a HTTP/1.1"), "hello", nil, ""},
	{"a request in the path", harness.Post("/a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /smuggled"), "hello", nil, harness.Aborted},
	{"a path without a slash", harness.Post("a"), "hello", nil, ""},
	{"no path", harness.Fields{":method", "POST", ":scheme", "https", ":authority", "localhost"}, "hello", nil, harness.Aborted},
	{"an empty path", harness.Post(""), "hello", nil, harness.Aborted},
	{"a path that is a URL", harness.Post("http://evil.example/a"), "hello", nil, ""},
	{"two paths", harness.Post("/a", ":path", "/smuggled"), "hello", nil, harness.Aborted},
	{"an asterisk", harness.Post("*"), "hello", nil, ""},
	{"a request in the method", harness.Fields{":method", "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\nPOST", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, "hello", nil, harness.Aborted},
	{"a space in the method", harness.Fields{":method", "GET /smuggled", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, "hello", nil, ""},
	{"two methods", harness.Post("/a", ":method", "GET"), "hello", nil, harness.Aborted},
	{"a line end in the authority", harness.Fields{":method", "POST", ":scheme", "https", ":authority", "localhost\r\nX: y", ":path", "/a"}, "hello", nil, ""},
	{"a user in the authority", harness.Fields{":method", "POST", ":scheme", "https", ":authority", "a@localhost", ":path", "/a"}, "hello", nil, ""},
	{"a path in the authority", harness.Fields{":method", "POST", ":scheme", "https", ":authority", "localhost/smuggled?", ":path", "/a"}, "hello", nil, ""},
	{"a host beside the authority", harness.Post("/a", "host", "evil.example"), "hello", nil, ""},
	{"two hosts", harness.Fields{":method", "POST", ":scheme", "https", ":path", "/a", "host", "localhost", "host", "evil.example"}, "hello", nil, ""},
	{"a scheme with a line end", harness.Fields{":method", "POST", ":scheme", "https://x/ HTTP/1.1\r\nX: y", ":authority", "localhost", ":path", "/a"}, "hello", nil, ""},
	{"an unknown pseudo-header", harness.Post("/a", ":smuggled", "x"), "hello", nil, harness.Aborted},
	{"a pseudo-header after the others", harness.Post("/a", "x-a", "b", ":path", "/smuggled"), "hello", nil, harness.Aborted},
	{"a status", harness.Post("/a", ":status", "200"), "hello", nil, harness.Aborted},
	{"CONNECT", harness.Fields{":method", "CONNECT", ":authority", "localhost"}, hidden, nil, "405"},
	{"CONNECT of another place", harness.Fields{":method", "CONNECT", ":authority", "localhost:22"}, hidden, nil, "405"},
	{"CONNECT with a path", harness.Fields{":method", "CONNECT", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, harness.Aborted},
	{"CONNECT for another protocol", harness.Fields{":method", "CONNECT", ":protocol", "connect-udp", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, ""},
	{"a trailer", harness.Post("/a"), "hello", harness.Fields{"x-a", "b"}, "200 POST /a 5"},
	{"a trailer that frames", harness.Post("/a"), "hello", harness.Fields{"content-length", "50", "transfer-encoding", "chunked"}, ""},
	{"an announced trailer that frames", harness.Post("/a", "trailer", "content-length, transfer-encoding"), "hello", harness.Fields{"content-length", "50"}, ""},
	{"a trailer with a pseudo-header", harness.Post("/a"), "hello", harness.Fields{":path", "/smuggled"}, ""},
	{"a body of GET", harness.Fields{":method", "GET", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 GET /a %d", len(hidden))},
	{"a body of HEAD", harness.Fields{":method", "HEAD", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 HEAD /a %d", len(hidden))},
	{"a body of DELETE", harness.Fields{":method", "DELETE", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 DELETE /a %d", len(hidden))},
	{"a body of OPTIONS", harness.Fields{":method", "OPTIONS", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 OPTIONS /a %d", len(hidden))},
	{"a body of TRACE", harness.Fields{":method", "TRACE", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 TRACE /a %d", len(hidden))},
	{"a body of PURGE", harness.Fields{":method", "PURGE", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 PURGE /a %d", len(hidden))},
	{"expect", harness.Post("/a", "expect", "100-continue"), "hello", nil, "200 POST /a 5"},
}

func TestFrames_EdgeAndSiteSeeTheSameRequest(t *testing.T) {
	s := startWireStack(t, nil)
	for _, c := range downgrades {
		t.Run(c.name, func(t *testing.T) {
			before := s.site.count()
			f := harness.OpenFrames(t, s.Edge)
			f.Request(c.head, c.body, c.trailer)
			got := f.Outcome(t)
			if got != c.want && c.want != "" {
				t.Errorf("the outcome is %q, want %q", got, c.want)
			}
			// The next request shows that nothing is left on the edge's connections to the site.
			after := harness.OpenFrames(t, s.Edge)
			after.Request(harness.Post("/after"), "", nil)
			if got := after.Outcome(t); got != "200 POST /after 0" {
				t.Errorf("the next request: %q", got)
			}
			seen, heads, ambiguous := s.site.since(before)
			if len(ambiguous) > 0 {
				t.Fatalf("the site got %v", ambiguous)
			}
			if got == harness.Aborted && len(seen) == 2 { // answered, but a later frame reset its stream first
				got = "200 " + seen[0]
			}
			if want := append(fromSite([]string{got}), "POST /after 0"); !slices.Equal(seen, want) || slices.Contains(seen, "GET /smuggled 0") {
				t.Errorf("the edge answered %q, the site saw %q of\n%s", got, seen, heads)
			}
		})
	}
}
