package flood

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// withShortTimeouts makes the timeouts as short as a busy machine permits. Shipped: one minute.
func withShortTimeouts(config string) string {
	config = strings.Replace(config, "0rtt off",
		"0rtt off\n\t\ttimeouts {\n\t\t\tread_header 3s\n\t\t\twrite_idle 3s\n\t\t}", 1)
	config = strings.Replace(config, "limit 600/1m", "limit 1000000/1m", 1)
	return strings.Replace(config, "track_sale @sale", "track_sale @sale {\n\t\t\tbody_timeout 2s\n\t\t}", 1)
}

// drip sends a header section a byte every 20 ms until the edge closes the connection, with a 400
// if it stops within a line. A connection that is open at its deadline fails the test.
func drip(t *testing.T, conn net.Conn) {
	t.Helper()
	fmt.Fprint(conn, "POST /api/track/sale HTTP/1.1\r\nHost: localhost\r\n")
	const more = "X-A: b\r\n"
	type reading struct {
		all string
		err error
	}
	ended := make(chan reading, 1)
	go func() {
		all, err := io.ReadAll(conn)
		ended <- reading{string(all), err}
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case r := <-ended:
			if harness.IsTimeout(r.err) {
				t.Error("the edge still waits for the rest of the headers")
			}
			if r.all != "" && !strings.HasPrefix(r.all, "HTTP/1.1 400 ") {
				t.Errorf("answered %q", r.all)
			}
			return
		case <-tick.C:
			conn.Write([]byte{more[i%len(more)]}) // the reader notices a closed connection
		}
	}
}

func TestSlowHead_IsCutOff(t *testing.T) {
	s := harness.StartStack(t, withShortTimeouts)
	var clients sync.WaitGroup
	for range 20 {
		conn := s.Dial(t)
		clients.Go(func() { drip(t, conn) })
	}
	harness.WantAnswer(t, s.Sell(t, s.Client(t, "HTTP/1.1"), harness.ValidSale), 201, harness.PublishedOK)
	clients.Wait() // every connection must end
	s.Site.WantNothingSince(t, 0)
}

func TestSlowBody_Is408AndBlocksNoOther(t *testing.T) {
	s := harness.StartStack(t, withShortTimeouts)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		before := s.DB.Sales()
		var clients sync.WaitGroup
		for range 50 {
			body, sent := io.Pipe()
			req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL("/api/track/sale"), body)
			testenv.NoError(t, err)
			req.ContentLength = int64(len(harness.ValidSale))
			req.Header.Set("Authorization", harness.FullKey)
			ended := make(chan struct{})
			clients.Go(func() {
				defer close(ended)
				res, err := c.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				if res.StatusCode != 408 {
					t.Errorf("status %d", res.StatusCode)
				}
			})
			clients.Go(func() {
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for i := range harness.ValidSale {
					select {
					case <-tick.C:
						if _, err := io.WriteString(sent, harness.ValidSale[i:i+1]); err != nil {
							return
						}
					case <-ended:
						sent.Close()
						return
					}
				}
			})
		}
		harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
		clients.Wait()
		if n := s.DB.Sales() - before; n != 1 {
			t.Errorf("%d sales", n)
		}
	})
}

// dialSlowReader opens a connection that receives so little that the edge soon cannot write to it.
func dialSlowReader(t testing.TB, e *harness.Edge) net.Conn {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		return raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048)
		})
	}}
	return e.DialWith(t, &dialer, "http/1.1")
}

// The sales of a client that never reads are recorded as long as its answers fit into kernel
// buffers. Then the edge closes the connection.
func TestUnreadAnswer_ConnectionIsClosed(t *testing.T) {
	const clients, each, whole = 10, 20, 16 << 20 // more than kernel buffers hold
	large := func(w http.ResponseWriter, _ *http.Request) { io.CopyN(w, harness.Zeros{}, whole) }
	site := harness.StartSite(t, map[string]http.HandlerFunc{"/large": large})
	s := harness.StartStackWithSite(t, site, withShortTimeouts)
	var sale strings.Builder
	harness.WriteSale(&sale, "/api/track/sale", harness.FullKey, "")
	page := "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"
	var slow sync.WaitGroup
	for range clients {
		conn := dialSlowReader(t, s.Edge)
		slow.Go(func() {
			io.WriteString(conn, strings.Repeat(sale.String(), each)+page)
			for { // the edge stops reading when it cannot write, then closes the connection
				if _, err := io.WriteString(conn, sale.String()); err != nil {
					if harness.IsTimeout(err) {
						t.Error("the edge still waits for a client that does not read")
					}
					return
				}
			}
		})
	}
	c := s.Client(t, "HTTP/2.0")
	for range each { // meanwhile no writer and no batch is blocked
		harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
	}
	slow.Wait()
	untilIdle(t, s.Edge)
	if n := s.DB.Sales(); n != (clients+1)*each {
		t.Errorf("%d sales", n)
	}
}

func untilIdle(t testing.TB, e *harness.Edge) {
	t.Helper()
	testenv.Until(t, "no request is in flight", func() bool {
		return !strings.Contains(e.AdminGet(t, "/debug/pprof/goroutine?debug=2"), "caddyhttp.(*Server).ServeHTTP")
	})
}

// Over HTTP/2 a client can block the answers of single streams without blocking the connection.
func TestUnreadAnswer_HTTP2StreamIsReset(t *testing.T) {
	s := harness.StartStack(t, withShortTimeouts)
	f := harness.OpenFrames(t, s.Edge, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	const streams = 100
	go func() {
		for range streams {
			f.Request(harness.Post("/api/track/sale", "authorization", harness.FullKey), harness.ValidSale, nil)
		}
	}()
	c := s.Client(t, "HTTP/2.0")
	for range 20 {
		harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
	}
	for reset := 0; reset < streams; {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("%d of %d streams were reset: %v", reset, streams, err)
		}
		if frame.Header().Type == http2.FrameRSTStream {
			reset++
		}
	}
	untilIdle(t, s.Edge)
	if n := s.DB.Sales(); n != streams+20 {
		t.Errorf("%d sales", n) // the requests were complete, so they are recorded although no answer is read
	}
}

// With the shipped timeouts, which are Caddy's: a minute each.
func TestShippedTimeouts_BoundSlowClients(t *testing.T) {
	t.Parallel() // mostly waiting
	s := harness.StartStack(t, nil)
	patient := time.Now().Add(3 * harness.HangGuard)
	head, upload, slow := s.Dial(t), s.Dial(t), dialSlowReader(t, s.Edge)
	for _, conn := range []net.Conn{head, upload, slow} {
		conn.SetDeadline(patient)
	}
	var clients sync.WaitGroup
	clients.Go(func() { drip(t, head) })
	fmt.Fprint(upload, "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
	clients.Go(func() {
		if _, err := io.ReadAll(upload); harness.IsTimeout(err) {
			t.Error("the edge still waits for a stalled upload")
		}
	})
	unread := make(chan struct{})
	go func() {
		defer close(unread)
		for { // until the test closes it: see below
			if _, err := io.WriteString(slow, "GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				return
			}
		}
	}()
	clients.Wait()
	// The edge is asked, because the kernel may tell a client with full buffers only minutes later.
	testenv.Until(t, "the edge closes the connection of a client that does not read",
		func() bool { return connections(t, s.Edge) == 0 })
	slow.SetDeadline(time.Now())
	<-unread
}

// connections returns the number of HTTP/1.1 connections over TLS that the edge serves.
func connections(t testing.TB, e *harness.Edge) (n int) {
	t.Helper()
	for stack := range strings.SplitSeq(e.AdminGet(t, "/debug/pprof/goroutine?debug=2"), "\n\n") {
		if strings.Contains(stack, "net/http.(*conn).serve(") && strings.Contains(stack, "crypto/tls.(*Conn)") {
			n++
		}
	}
	return n
}
