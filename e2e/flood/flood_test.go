package flood

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

var idleConnections = flag.Int("hostile.connections", 1500, "number of idle connections to hold open")

func TestOversizedHead_IsRejected(t *testing.T) {
	s := harness.StartStack(t, nil)
	for _, size := range []int{40 << 10, 2 << 20} {
		conn := s.Dial(t)
		go fmt.Fprintf(conn, "GET /page HTTP/1.1\r\nHost: localhost\r\nX-A: %s\r\n\r\n", strings.Repeat("a", size))
		got := harness.ReadAnswer(t, bufio.NewReader(conn))
		harness.WantStatus(t, got, http.StatusRequestHeaderFieldsTooLarge)
	}
	many := s.Dial(t)
	go fmt.Fprintf(many, "GET /page HTTP/1.1\r\nHost: localhost\r\n%s\r\n", strings.Repeat("A: b\r\n", 20_000))
	harness.WantStatus(t, harness.ReadAnswer(t, bufio.NewReader(many)), http.StatusRequestHeaderFieldsTooLarge)

	f := harness.OpenFrames(t, s.Edge)
	f.Stream = 1
	block := f.Encode(harness.Fields{":method", "GET", ":scheme", "https", ":authority", "localhost", ":path", "/page",
		"x-a", strings.Repeat("~", 40<<10)})
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:16<<10], EndStream: true})
	f.WriteContinuation(1, false, block[16<<10:32<<10])
	f.WriteContinuation(1, true, block[32<<10:])
	if got := f.Outcome(t); got != "431" && got != harness.Aborted {
		t.Errorf("over HTTP/2: %s", got)
	}

	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL("/page"), nil)
	testenv.NoError(t, err)
	req.Header.Set("X-A", strings.Repeat("a", 40<<10))
	if res, err := s.Client(t, "HTTP/3.0").Do(req); err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("over HTTP/3: got %d", res.StatusCode)
		}
	}
	s.Site.WantNothingSince(t, 0)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		harness.WantStatus(t, s.Call(t, c, "GET", "/page", "", "X-A", strings.Repeat("a", 8<<10)), 200)
	})
}

// A header section that never ends costs the edge no more than its maximum size.
func TestEndlessHead_IsCutOff(t *testing.T) {
	s := harness.StartStack(t, nil)
	const enough = 64 << 20
	conn := s.Dial(t)
	fmt.Fprint(conn, "GET /page HTTP/1.1\r\nHost: localhost\r\n")
	if n, err := io.CopyN(conn, endless("X-A: b\r\n"), enough); err == nil {
		t.Errorf("over HTTP/1.1 the edge took %d bytes", n)
	}
	f := harness.OpenFrames(t, s.Edge)
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.Encode(harness.Post("/a"))})
	fragment := bytes.Repeat(f.Encode(harness.Fields{"x-a", "b"}), 1000)
	var err error
	for sent := 0; sent < enough && err == nil; sent += len(fragment) {
		err = f.WriteContinuation(1, false, fragment)
	}
	if err == nil {
		t.Error("over HTTP/2 the edge took everything")
	}
	harness.WantAnswer(t, s.Sell(t, s.Client(t, "HTTP/2.0"), harness.ValidSale), 201, harness.PublishedOK)
}

// endless is a reader that repeats a text forever.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

// A client that cancels requests as fast as it sends them occupies a bounded number of handlers.
func TestRapidReset_BlocksNoOther(t *testing.T) {
	s := harness.StartStack(t, harness.Replace("limit 600/1m", "limit 1000000/1m"))
	f := harness.OpenFrames(t, s.Edge)
	ended := make(chan struct{})
	go func() { // read, or the edge blocks on writing
		defer close(ended)
		for {
			if _, err := f.ReadFrame(); err != nil {
				return
			}
		}
	}()
	head := bytes.Clone(f.Encode(harness.Post("/api/track/sale", "authorization", harness.FullKey,
		"content-length", "100")))
	for i := range uint32(20_000) {
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: head, EndHeaders: true}) != nil ||
			f.WriteRSTStream(2*i+1, http2.ErrCodeCancel) != nil {
			break // the edge has closed the connection
		}
	}
	harness.WantAnswer(t, s.Sell(t, s.Client(t, "HTTP/2.0"), harness.ValidSale), 201, harness.PublishedOK)
	f.Conn.Close()
	<-ended
	untilIdle(t, s.Edge)
	s.DB.WantSales(t, 1)
}

func TestIdleConnections_BlockNoOther(t *testing.T) {
	s := harness.StartStack(t, nil)
	harness.WantAnswer(t, s.Sell(t, s.Client(t, "HTTP/1.1"), harness.ValidSale), 201, harness.PublishedOK)
	before := s.Descriptors(t)
	config := s.TLS(t)
	var next atomic.Int64
	var group sync.WaitGroup
	var mu sync.Mutex
	var idle []net.Conn
	for range 16 {
		group.Go(func() {
			for {
				n := int(next.Add(1))
				if n > *idleConnections {
					return
				}
				conn, err := net.Dial("tcp", s.Address())
				if err == nil && n%3 > 0 { // a third never starts a handshake
					secured := tls.Client(conn, config)
					secured.SetDeadline(time.Now().Add(harness.HangGuard))
					err, conn = secured.Handshake(), secured
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				idle = append(idle, conn)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if now := s.Descriptors(t); now < before+*idleConnections {
		t.Errorf("%d descriptors before, %d after", before, now)
	}
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		for range 10 {
			harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
			c.CloseIdleConnections() // use a new connection next time
		}
	})
	for _, conn := range idle {
		conn.Close()
	}
	testenv.Until(t, "the descriptors are closed", func() bool { return s.Descriptors(t) <= before+20 })
}
