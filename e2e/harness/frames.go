package harness

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Frames is a connection of HTTP/2 on which a test writes what no client would.
type Frames struct {
	*http2.Framer
	Conn    *tls.Conn
	block   bytes.Buffer
	encoder *hpack.Encoder
	Stream  uint32 // of the last request
}

// OpenFrames opens a connection and exchanges settings.
func OpenFrames(t testing.TB, e *Edge, settings ...http2.Setting) *Frames {
	t.Helper()
	conn := e.DialWith(t, new(net.Dialer), "h2")
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := &Frames{Framer: http2.NewFramer(conn, conn), Conn: conn}
	f.AllowIllegalWrites = true
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.encoder = hpack.NewEncoder(&f.block)
	if err := f.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return f
}

// Fields of a request, as they are written. An even number of texts: name, value.
type Fields []string

// Encode returns the fields compressed.
func (f *Frames) Encode(fs Fields) []byte {
	f.block.Reset()
	for i := 0; i < len(fs); i += 2 {
		f.encoder.WriteField(hpack.HeaderField{Name: fs[i], Value: fs[i+1]})
	}
	return f.block.Bytes()
}

// Request writes a request on a new stream: its Fields, its body and its trailer.
// Writing fails where the edge has closed the connection; reading says so, too.
func (f *Frames) Request(head Fields, body string, trailer Fields) {
	f.Stream = (f.Stream + 1) | 1 // a client's are odd
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.Stream, BlockFragment: f.Encode(head), EndHeaders: true, EndStream: body == "" && trailer == nil})
	if body != "" {
		f.WriteData(f.Stream, trailer == nil, []byte(body))
	}
	if trailer != nil {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.Stream, BlockFragment: f.Encode(trailer), EndHeaders: true, EndStream: true})
	}
}

// Refused means that the edge ended the stream, or the connection, before it had answered.
const Refused = "refused"

// Outcome returns how the last request ended: its status and what the site saw of it, or refused.
func (f *Frames) Outcome(t testing.TB) string {
	t.Helper()
	status := ""
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			if IsTimeout(err) {
				t.Fatalf("the edge neither answered nor ended the request: %q", status)
			}
			if _, ok := errors.AsType[http2.ConnectionError](err); ok {
				t.Fatal(err)
			}
			return Refused
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if frame.StreamID != f.Stream || frame.PseudoValue("status") == "100" {
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
			if frame.StreamID == f.Stream && frame.StreamEnded() {
				return status
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == f.Stream {
				if status != "" && frame.ErrCode == http2.ErrCodeNo {
					return status // answered before the whole body was there
				}
				return Refused
			}
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				return Refused
			}
		}
	}
}

func Post(path string, more ...string) Fields {
	return append(Fields{":method", "POST", ":scheme", "https", ":authority", "localhost", ":path", path}, more...)
}

// IsTimeout reports whether an error is a timeout of the network.
func IsTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
