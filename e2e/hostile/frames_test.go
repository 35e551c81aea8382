package hostile

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"hoko.to/edge/e2e/harness"
)

// frames is a connection of HTTP/2 on which a test writes what no client would.
type frames struct {
	*http2.Framer
	conn    *tls.Conn
	block   bytes.Buffer
	encoder *hpack.Encoder
	stream  uint32 // of the last request
}

// frames opens a connection and exchanges settings.
func openFrames(t testing.TB, e *harness.Edge, settings ...http2.Setting) *frames {
	t.Helper()
	conn := e.DialWith(t, new(net.Dialer), "h2")
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := &frames{Framer: http2.NewFramer(conn, conn), conn: conn}
	f.AllowIllegalWrites = true
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.encoder = hpack.NewEncoder(&f.block)
	if err := f.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return f
}

// fields of a request, as they are written. An even number of texts: name, value.
type fields []string

func (f *frames) encode(fs fields) []byte {
	f.block.Reset()
	for i := 0; i < len(fs); i += 2 {
		f.encoder.WriteField(hpack.HeaderField{Name: fs[i], Value: fs[i+1]})
	}
	return f.block.Bytes()
}

// request writes a request on a stream of its own: its fields, its body and its trailer.
// Writing fails where the edge has closed the connection; reading says so, too.
func (f *frames) request(head fields, body string, trailer fields) {
	f.stream = (f.stream + 1) | 1 // a client's are odd
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: f.encode(head), EndHeaders: true, EndStream: body == "" && trailer == nil})
	if body != "" {
		f.WriteData(f.stream, trailer == nil, []byte(body))
	}
	if trailer != nil {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: f.encode(trailer), EndHeaders: true, EndStream: true})
	}
}

// refused: the edge ended the stream, or the connection, before it had answered.
const refused = "refused"

// outcome is how the last request ended: its status and what the site saw of it, or refused.
func (f *frames) outcome(t testing.TB) string {
	t.Helper()
	status := ""
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			if isTimeout(err) {
				t.Fatalf("the edge neither answered nor ended the request: %q", status)
			}
			if _, ok := errors.AsType[http2.ConnectionError](err); ok {
				t.Fatal(err)
			}
			return refused
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if frame.StreamID != f.stream || frame.PseudoValue("status") == "100" {
				continue
			}
			status = frame.PseudoValue("status")
			for _, field := range frame.RegularFields() {
				if field.Name == "x-seen" {
					status += " " + field.Value
				}
			}
			if frame.StreamEnded() {
				return status
			}
		case *http2.DataFrame:
			if frame.StreamID == f.stream && frame.StreamEnded() {
				return status
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == f.stream {
				if status != "" && frame.ErrCode == http2.ErrCodeNo {
					return status // answered before the whole body was there
				}
				return refused
			}
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				return refused
			}
		}
	}
}

func post(path string, more ...string) fields {
	return append(fields{":method", "POST", ":scheme", "https", ":authority", "localhost", ":path", path}, more...)
}

// What HTTP/2 can hold and HTTP/1.1, in which the site is asked, can not, or not
// in one way. want is one of the outcomes; none where any will do.
var downgrades = []struct {
	name    string
	head    fields
	body    string
	trailer fields
	want    string
}{
	{"nothing wrong", post("/a"), "hello", nil, "200 POST /a 5"},
	{"nothing wrong, with its length", post("/a", "content-length", "5"), "hello", nil, "200 POST /a 5"},
	{"a request as the body", post("/a"), hidden, nil, fmt.Sprintf("200 POST /a %d", len(hidden))},
	{"a length of 0 and a body", post("/a", "content-length", "0"), hidden, nil, ""},
	{"a length shorter than the body", post("/a", "content-length", "3"), "hello", nil, refused},
	{"a length longer than the body", post("/a", "content-length", "50"), "hello", nil, ""},
	{"a length and no body", post("/a", "content-length", "50"), "", nil, ""},
	{"two lengths", post("/a", "content-length", "5", "content-length", "0"), "hello", nil, ""},
	{"a length with a plus", post("/a", "content-length", "+5"), "hello", nil, ""},
	{"transfer-encoding", post("/a", "transfer-encoding", "chunked"), "0\r\n\r\n" + hidden, nil, ""},
	{"transfer-encoding and a length", post("/a", "content-length", "5", "transfer-encoding", "chunked"), "0\r\n\r\n", nil, ""},
	{"transfer-encoding in capitals", post("/a", "Transfer-Encoding", "chunked"), "0\r\n\r\n" + hidden, nil, refused},
	{"transfer-encoding under an alias", post("/a", "transfer_encoding", "chunked"), "0\r\n\r\n", nil, "200 POST /a 5"},
	{"connection", post("/a", "connection", "close, content-length"), "hello", nil, ""},
	{"keep-alive", post("/a", "keep-alive", "5"), "hello", nil, ""},
	{"upgrade", post("/a", "upgrade", "h2c"), "hello", nil, ""},
	{"te", post("/a", "te", "chunked"), "hello", nil, ""},
	{"a line end in a value", post("/a", "x-a", "b\r\ntransfer-encoding: chunked"), "hello", nil, refused},
	{"a bare LF in a value", post("/a", "x-a", "b\ntransfer-encoding: chunked"), "hello", nil, refused},
	{"a NUL in a value", post("/a", "x-a", "b\x00"), "hello", nil, refused},
	{"a line end in a name", post("/a", "x-a: b\r\ntransfer-encoding", "chunked"), "hello", nil, refused},
	{"a colon in a name", post("/a", "x-a:", "b"), "hello", nil, refused},
	{"a space in a name", post("/a", "transfer-encoding ", "chunked"), "hello", nil, refused},
	{"a capital in a name", post("/a", "X-A", "b"), "hello", nil, refused},
	{"an empty name", post("/a", "", "b"), "hello", nil, refused},
	{"a space in the path", post("/a HTTP/1.1"), "hello", nil, ""},
	{"a request in the path", post("/a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /smuggled"), "hello", nil, refused},
	{"a path without a slash", post("a"), "hello", nil, ""},
	{"no path", fields{":method", "POST", ":scheme", "https", ":authority", "localhost"}, "hello", nil, refused},
	{"an empty path", post(""), "hello", nil, refused},
	{"a path that is a URL", post("http://evil.example/a"), "hello", nil, ""},
	{"two paths", post("/a", ":path", "/smuggled"), "hello", nil, refused},
	{"an asterisk", post("*"), "hello", nil, ""},
	{"a request in the method", fields{":method", "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\nPOST", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, "hello", nil, refused},
	{"a space in the method", fields{":method", "GET /smuggled", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, "hello", nil, ""},
	{"two methods", post("/a", ":method", "GET"), "hello", nil, refused},
	{"a line end in the authority", fields{":method", "POST", ":scheme", "https", ":authority", "localhost\r\nX: y", ":path", "/a"}, "hello", nil, ""},
	{"a user in the authority", fields{":method", "POST", ":scheme", "https", ":authority", "a@localhost", ":path", "/a"}, "hello", nil, ""},
	{"a path in the authority", fields{":method", "POST", ":scheme", "https", ":authority", "localhost/smuggled?", ":path", "/a"}, "hello", nil, ""},
	{"a host beside the authority", post("/a", "host", "evil.example"), "hello", nil, ""},
	{"two hosts", fields{":method", "POST", ":scheme", "https", ":path", "/a", "host", "localhost", "host", "evil.example"}, "hello", nil, ""},
	{"a scheme with a line end", fields{":method", "POST", ":scheme", "https://x/ HTTP/1.1\r\nX: y", ":authority", "localhost", ":path", "/a"}, "hello", nil, ""},
	{"an unknown pseudo-header", post("/a", ":smuggled", "x"), "hello", nil, refused},
	{"a pseudo-header after the others", post("/a", "x-a", "b", ":path", "/smuggled"), "hello", nil, refused},
	{"a status", post("/a", ":status", "200"), "hello", nil, refused},
	{"CONNECT", fields{":method", "CONNECT", ":authority", "localhost"}, hidden, nil, "405"},
	{"CONNECT of another place", fields{":method", "CONNECT", ":authority", "localhost:22"}, hidden, nil, "405"},
	{"CONNECT with a path", fields{":method", "CONNECT", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, refused},
	{"CONNECT for another protocol", fields{":method", "CONNECT", ":protocol", "connect-udp", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, ""},
	{"a trailer", post("/a"), "hello", fields{"x-a", "b"}, "200 POST /a 5"},
	{"a trailer that frames", post("/a"), "hello", fields{"content-length", "50", "transfer-encoding", "chunked"}, ""},
	{"an announced trailer that frames", post("/a", "trailer", "content-length, transfer-encoding"), "hello", fields{"content-length", "50"}, ""},
	{"a trailer with a pseudo-header", post("/a"), "hello", fields{":path", "/smuggled"}, ""},
	{"a body of GET", fields{":method", "GET", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 GET /a %d", len(hidden))},
	{"a body of HEAD", fields{":method", "HEAD", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 HEAD /a %d", len(hidden))},
	{"a body of DELETE", fields{":method", "DELETE", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 DELETE /a %d", len(hidden))},
	{"a body of OPTIONS", fields{":method", "OPTIONS", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 OPTIONS /a %d", len(hidden))},
	{"a body of TRACE", fields{":method", "TRACE", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 TRACE /a %d", len(hidden))},
	{"a body of PURGE", fields{":method", "PURGE", ":scheme", "https", ":authority", "localhost", ":path", "/a"}, hidden, nil, fmt.Sprintf("200 PURGE /a %d", len(hidden))},
	{"expect", post("/a", "expect", "100-continue"), "hello", nil, "200 POST /a 5"},
}

func TestEdgeAndSiteSeeTheSameRequestWhateverTheFramesSay(t *testing.T) {
	s := startWireStack(t, nil)
	for _, c := range downgrades {
		t.Run(c.name, func(t *testing.T) {
			before := s.site.count()
			f := openFrames(t, s.Edge)
			f.request(c.head, c.body, c.trailer)
			got := f.outcome(t)
			if got != c.want && c.want != "" {
				t.Errorf("the outcome is %q, want %q", got, c.want)
			}
			// What follows shows that nothing is left on the edge's connections to the site.
			after := openFrames(t, s.Edge)
			after.request(post("/after"), "", nil)
			if got := after.outcome(t); got != "200 POST /after 0" {
				t.Errorf("the request after it: %q", got)
			}
			seen, heads, ambiguous := s.site.since(before)
			if len(ambiguous) > 0 {
				t.Fatalf("the site got %v", ambiguous)
			}
			if got == refused && len(seen) == 2 { // it was answered, but the frame behind it ended its stream first
				got = "200 " + seen[0]
			}
			if want := append(fromSite([]string{got}), "POST /after 0"); !slices.Equal(seen, want) || slices.Contains(seen, "GET /smuggled 0") {
				t.Errorf("the edge answered %q, the site saw %q of\n%s", got, seen, heads)
			}
		})
	}
}
