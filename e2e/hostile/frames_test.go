package hostile

import (
	"slices"
	"testing"

	"hoko.to/edge/e2e/harness"
)

type fields = harness.Fields

const aborted = harness.Aborted

var post = harness.Post

func request(method, authority string) fields {
	return fields{":method", method, ":scheme", "https", ":authority", authority, ":path", "/a"}
}

// Requests that HTTP/2 can carry but HTTP/1.1, which the edge speaks to the site, cannot, or not
// unambiguously. want is the outcome; "" accepts any.
var downgrades = []struct {
	name    string
	head    fields
	body    string
	trailer fields
	want    string
}{
	{"nothing wrong", post("/a"), "hello", nil, "200 POST /a 5"},
	{"nothing wrong, with its length", post("/a", "content-length", "5"), "hello", nil, "200 POST /a 5"},
	{"a request as the body", post("/a"), hidden, nil, lengths("200 POST /a {n}", hidden)},
	{"a length of 0 and a body", post("/a", "content-length", "0"), hidden, nil, ""},
	{"a length shorter than the body", post("/a", "content-length", "3"), "hello", nil, aborted},
	{"a length longer than the body", post("/a", "content-length", "50"), "hello", nil, ""},
	{"a length and no body", post("/a", "content-length", "50"), "", nil, ""},
	{"two lengths", post("/a", "content-length", "5", "content-length", "0"), "hello", nil, ""},
	{"a length with a plus", post("/a", "content-length", "+5"), "hello", nil, ""},
	{"transfer-encoding", post("/a", "transfer-encoding", "chunked"), "0\r\n\r\n" + hidden, nil, ""},
	{"transfer-encoding and a length", post("/a", "content-length", "5", "transfer-encoding", "chunked"),
		"0\r\n\r\n", nil, ""},
	{"transfer-encoding in capitals", post("/a", "Transfer-Encoding", "chunked"), "0\r\n\r\n" + hidden, nil, aborted},
	{"transfer-encoding under an alias", post("/a", "transfer_encoding", "chunked"), "0\r\n\r\n", nil, "200 POST /a 5"},
	{"connection", post("/a", "connection", "close, content-length"), "hello", nil, ""},
	{"keep-alive", post("/a", "keep-alive", "5"), "hello", nil, ""},
	{"upgrade", post("/a", "upgrade", "h2c"), "hello", nil, ""},
	{"te", post("/a", "te", "chunked"), "hello", nil, ""},
	{"a line end in a value", post("/a", "x-a", "b\r\ntransfer-encoding: chunked"), "hello", nil, aborted},
	{"a bare LF in a value", post("/a", "x-a", "b\ntransfer-encoding: chunked"), "hello", nil, aborted},
	{"a NUL in a value", post("/a", "x-a", "b\x00"), "hello", nil, aborted},
	{"a line end in a name", post("/a", "x-a: b\r\ntransfer-encoding", "chunked"), "hello", nil, aborted},
	{"a colon in a name", post("/a", "x-a:", "b"), "hello", nil, aborted},
	{"a space in a name", post("/a", "transfer-encoding ", "chunked"), "hello", nil, aborted},
	{"a capital in a name", post("/a", "X-A", "b"), "hello", nil, aborted},
	{"an empty name", post("/a", "", "b"), "hello", nil, aborted},
	{"a space in the path", post("/a HTTP/1.1"), "hello", nil, ""},
	{"a request in the path", post("/a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /smuggled"), "hello", nil, aborted},
	{"a path without a slash", post("a"), "hello", nil, ""},
	{"no path", fields{":method", "POST", ":scheme", "https", ":authority", "localhost"}, "hello", nil, aborted},
	{"an empty path", post(""), "hello", nil, aborted},
	{"a path that is a URL", post("http://evil.example/a"), "hello", nil, ""},
	{"two paths", post("/a", ":path", "/smuggled"), "hello", nil, aborted},
	{"an asterisk", post("*"), "hello", nil, ""},
	{"a request in the method", request("GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\nPOST", "localhost"), "hello",
		nil, aborted},
	{"a space in the method", request("GET /smuggled", "localhost"), "hello", nil, ""},
	{"two methods", post("/a", ":method", "GET"), "hello", nil, aborted},
	{"a line end in the authority", request("POST", "localhost\r\nX: y"), "hello", nil, ""},
	{"a user in the authority", request("POST", "a@localhost"), "hello", nil, ""},
	{"a path in the authority", request("POST", "localhost/smuggled?"), "hello", nil, ""},
	{"a host beside the authority", post("/a", "host", "evil.example"), "hello", nil, ""},
	{"two hosts", fields{":method", "POST", ":scheme", "https", ":path", "/a", "host", "localhost", "host",
		"evil.example"}, "hello", nil, ""},
	{"a scheme with a line end", fields{":method", "POST", ":scheme", "https://x/ HTTP/1.1\r\nX: y", ":authority",
		"localhost", ":path", "/a"}, "hello", nil, ""},
	{"an unknown pseudo-header", post("/a", ":smuggled", "x"), "hello", nil, aborted},
	{"a pseudo-header after the others", post("/a", "x-a", "b", ":path", "/smuggled"), "hello", nil, aborted},
	{"a status", post("/a", ":status", "200"), "hello", nil, aborted},
	{"CONNECT", fields{":method", "CONNECT", ":authority", "localhost"}, hidden, nil, "405"},
	{"CONNECT of another place", fields{":method", "CONNECT", ":authority", "localhost:22"}, hidden, nil, "405"},
	{"CONNECT with a path", request("CONNECT", "localhost"), hidden, nil, aborted},
	{"CONNECT for another protocol", fields{":method", "CONNECT", ":protocol", "connect-udp", ":scheme", "https",
		":authority", "localhost", ":path", "/a"}, hidden, nil, ""},
	{"a trailer", post("/a"), "hello", fields{"x-a", "b"}, "200 POST /a 5"},
	{"a trailer that frames", post("/a"), "hello", fields{"content-length", "50", "transfer-encoding", "chunked"}, ""},
	{"an announced trailer that frames", post("/a", "trailer", "content-length, transfer-encoding"), "hello",
		fields{"content-length", "50"}, ""},
	{"a trailer with a pseudo-header", post("/a"), "hello", fields{":path", "/smuggled"}, ""},
	{"a body of GET", request("GET", "localhost"), hidden, nil, lengths("200 GET /a {n}", hidden)},
	{"a body of HEAD", request("HEAD", "localhost"), hidden, nil, lengths("200 HEAD /a {n}", hidden)},
	{"a body of DELETE", request("DELETE", "localhost"), hidden, nil, lengths("200 DELETE /a {n}", hidden)},
	{"a body of OPTIONS", request("OPTIONS", "localhost"), hidden, nil, lengths("200 OPTIONS /a {n}", hidden)},
	{"a body of TRACE", request("TRACE", "localhost"), hidden, nil, lengths("200 TRACE /a {n}", hidden)},
	{"a body of PURGE", request("PURGE", "localhost"), hidden, nil, lengths("200 PURGE /a {n}", hidden)},
	{"expect", post("/a", "expect", "100-continue"), "hello", nil, "200 POST /a 5"},
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
			after.Request(post("/after"), "", nil)
			if got := after.Outcome(t); got != "200 POST /after 0" {
				t.Errorf("the next request: %q", got)
			}
			seen, heads, ambiguous := s.site.since(before)
			if len(ambiguous) > 0 {
				t.Fatalf("the site got %v", ambiguous)
			}
			if got == aborted && len(seen) == 2 { // answered, but a later frame reset its stream first
				got = "200 " + seen[0]
			}
			want := append(fromSite([]string{got}), "POST /after 0")
			if !slices.Equal(seen, want) || slices.Contains(seen, "GET /smuggled 0") {
				t.Errorf("the edge answered %q, the site saw %q of\n%s", got, seen, heads)
			}
		})
	}
}
