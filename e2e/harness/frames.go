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

// Frames is an HTTP/2 connection on which a test can write frames that no client would send.
type Frames struct {
	*http2.Framer
	Conn    *tls.Conn
	block   bytes.Buffer
	encoder *hpack.Encoder
	Stream  uint32 // ID of the last request's stream
}

// OpenFrames opens a connection and sends the preface and the settings.
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

// Fields are header or trailer fields in sending order, as alternating names and values.
type Fields []string

// Encode returns the fields compressed by HPACK. The result is valid until the next call.
func (f *Frames) Encode(fs Fields) []byte {
	f.block.Reset()
	for i := 0; i < len(fs); i += 2 {
		f.encoder.WriteField(hpack.HeaderField{Name: fs[i], Value: fs[i+1]})
	}
	return f.block.Bytes()
}

// Request writes a request on a new stream. It ignores errors: reading then fails too.
func (f *Frames) Request(head Fields, body string, trailer Fields) {
	f.Stream = (f.Stream + 1) | 1 // clients use odd IDs
	write := func(fields Fields, end bool) {
		f.WriteHeaders(http2.HeadersFrameParam{
			StreamID: f.Stream, BlockFragment: f.Encode(fields), EndHeaders: true, EndStream: end,
		})
	}
	write(head, body == "" && trailer == nil)
	if body != "" {
		f.WriteData(f.Stream, trailer == nil, []byte(body))
	}
	if trailer != nil {
		write(trailer, true)
	}
}

// Aborted is the outcome of a request whose stream or connection the edge closed before its answer.
const Aborted = "aborted"

// Outcome returns how the last request ended: its status and the site's X-Seen header, or Aborted.
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
			return Aborted
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
					return status // answered before the whole body arrived
				}
				return Aborted
			}
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				return Aborted
			}
		}
	}
}

// Post returns the fields of a POST request to path, followed by more.
func Post(path string, more ...string) Fields {
	return append(Fields{":method", "POST", ":scheme", "https", ":authority", "localhost", ":path", path}, more...)
}

// IsTimeout reports whether an error is a network timeout.
func IsTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
