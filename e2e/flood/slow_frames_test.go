package flood

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/http2"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// Over HTTP/2 an unfinished header section is not yet a request, so the idle timeout applies to its
// connection: five minutes in Caddy, three seconds here.
func TestUnfinishedHead_LeavesHTTP2ConnectionIdle(t *testing.T) {
	s := harness.StartStack(t, harness.Replace("0rtt off", "0rtt off\n\t\ttimeouts {\n\t\t\tidle 3s\n\t\t}"))
	var clients sync.WaitGroup
	for i := range 20 {
		f, ended := harness.OpenFrames(t, s.Edge), make(chan struct{})
		head := bytes.Clone(f.Encode(harness.Post("/api/track/sale", "authorization", harness.FullKey)))
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head[:10], EndStream: true})
		if i%2 == 0 {
			clients.Go(func() { dripHead(f, ended, head[10:]) })
		}
		clients.Go(func() {
			defer close(ended)
			for {
				if frame, err := f.ReadFrame(); harness.IsTimeout(err) {
					t.Error("the edge still waits for the rest of the headers")
					return
				} else if err != nil {
					return
				} else if frame.Header().Type == http2.FrameHeaders {
					t.Error("answered")
				}
			}
		})
	}
	harness.WantAnswer(t, s.Sell(t, s.Client(t, "HTTP/2.0"), harness.ValidSale), 201, harness.PublishedOK)
	clients.Wait()
	s.Site.WantNothingSince(t, 0)
}

// dripHead continues a header section with a byte every 20 ms and never ends it.
func dripHead(f *harness.Frames, ended <-chan struct{}, head []byte) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ended:
			return
		case <-tick.C:
			f.WriteContinuation(1, false, head[min(i, len(head)):min(i+1, len(head))]) // an empty frame is allowed
		}
	}
}

func quicConn(t testing.TB, e *harness.Edge) *quic.Conn {
	t.Helper()
	config := e.TLS(t)
	config.NextProtos = []string{"h3"}
	conn, err := quic.DialAddr(t.Context(), e.Address(), config, &quic.Config{MaxIdleTimeout: 10 * harness.HangGuard})
	testenv.NoError(t, err)
	t.Cleanup(func() { conn.CloseWithError(0, "") })
	return conn
}

// Over HTTP/3 nothing limits the time for a header section. It ends with its connection, which QUIC
// closes when the client has been silent for 30 s.
func TestUnfinishedHead_EndsWithItsHTTP3Connection(t *testing.T) {
	t.Parallel() // mostly waiting
	s := harness.StartStack(t, nil)
	conn := quicConn(t, s.Edge)
	heap, _ := s.Memory(t)
	const streams = 100 // the edge's limit per connection
	for range streams {
		stream, err := conn.OpenStream()
		testenv.NoError(t, err)
		// Two bytes of a HEADERS frame that is nearly as long as the edge allows.
		if _, err := stream.Write([]byte{1, 0x7f, 0xff, 0, 0}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.OpenStream(); err == nil {
		t.Errorf("more than %d header sections at a time", streams)
	}
	testenv.Until(t, "the edge reads all header sections", func() bool { return heads(t, s.Edge) == streams })
	if waiting, _ := s.Memory(t); waiting-heap > 8 {
		t.Errorf("%d header sections take %d MiB", streams, waiting-heap)
	}
	c := s.Client(t, "HTTP/3.0")
	for range 20 {
		harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
	}
	testenv.Until(t, "the edge reads no header section", func() bool { return heads(t, s.Edge) == 0 })
	s.Site.WantNothingSince(t, 0)
}

// heads returns the number of HTTP/3 header sections that the edge is reading.
func heads(t testing.TB, e *harness.Edge) int {
	t.Helper()
	all := e.AdminGet(t, "/debug/pprof/goroutine?debug=2")
	reading := 0
	for stack := range strings.SplitSeq(all, "\n\n") {
		if strings.Contains(stack, "handleRequestStream") && !strings.Contains(stack, "ServeHTTP") {
			reading++
		}
	}
	return reading
}

func TestUnreadAnswer_HTTP3StreamIsReset(t *testing.T) {
	const clients, whole = 10, 16 << 20 // more than the flow control windows of a client
	large := func(w http.ResponseWriter, _ *http.Request) { io.CopyN(w, harness.Zeros{}, whole) }
	site := harness.StartSite(t, map[string]http.HandlerFunc{"/large": large})
	s := harness.StartStackWithSite(t, site, withShortTimeouts)
	unread := make([]*http.Response, clients)
	for i := range unread {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), "GET", s.URL("/large"),
			strings.NewReader(""))
		testenv.NoError(t, err)
		if unread[i], err = s.Client(t, "HTTP/3.0").Transport.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		defer unread[i].Body.Close()
	}
	c := s.Client(t, "HTTP/3.0")
	for range 20 {
		harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
	}
	untilIdle(t, s.Edge)
	for _, answer := range unread {
		if n, err := io.Copy(io.Discard, answer.Body); err == nil || harness.IsTimeout(err) || n >= whole {
			t.Errorf("read %d bytes, %v: want a shorter body and an error", n, err)
		}
	}
}
