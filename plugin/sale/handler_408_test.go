package sale

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const body408 = `{"error":{"en":"Request timeout","ar":"انتهت مهلة الطلب"}}`

func Test408_EndsABodyThatDoesNotArrive(t *testing.T) {
	for name, request := range map[string][2]string{
		"nothing":             {"Content-Length: 78", ""},
		"a part":              {"Content-Length: 78", aBody[:70]},
		"no chunk":            {"Transfer-Encoding: chunked", ""},
		"no last chunk":       {"Transfer-Encoding: chunked", "4e\r\n" + aBody + "\r\n"},
		"nothing after a 100": {"Content-Length: 78\r\nExpect: 100-continue", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(recording, 50*time.Millisecond)
			c := serve(t, f)()
			c.send(request[0], request[1])
			res, body := c.receive()
			if res.StatusCode == 100 {
				res, body = c.receive()
			}
			if res.StatusCode != 408 || body != body408 || !res.Close {
				t.Errorf("%d (closes: %v) %s", res.StatusCode, res.Close, body)
			}
			if n := len(f.sales()); n != 0 {
				t.Errorf("%d sales reached the store", n)
			}
			f.expectRefusal(t, "timeout")
		})
	}
}

func Test408_LeavesAnHTTP2ConnectionAlive(t *testing.T) {
	server := httptest.NewUnstartedServer(newFixture(recording, 50*time.Millisecond))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	client.Timeout = hangGuard

	unsent, upload := io.Pipe()
	defer upload.Close()
	for _, request := range []struct {
		body   io.Reader
		status int
	}{{unsent, 408}, {strings.NewReader(aBody), 201}} {
		res, err := client.Post(server.URL, "application/json", request.body)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != request.status || res.ProtoMajor != 2 {
			t.Errorf("%s %d, want %d", res.Proto, res.StatusCode, request.status)
		}
	}
}

// On a fake clock: the timeout is the whole body's, not that of each read.
func Test408_BoundsTheWholeBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trickle sync.WaitGroup
		t.Cleanup(trickle.Wait)
		conn := servePipe(t, newFixture(recording, 0))
		start := time.Now()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 78\r\n\r\n")
		trickle.Go(func() {
			for i := range aBody { // a byte a second
				time.Sleep(time.Second)
				if _, err := conn.Write([]byte(aBody[i : i+1])); err != nil {
					return
				}
			}
		})
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); res.StatusCode != 408 || waited >= 11*time.Second || waited < 10*time.Second {
			t.Errorf("%d after %v", res.StatusCode, waited)
		}
	})
}

func TestHandler_TakesItsDeadlineBack(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	newFixture(recording, 0).ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(aBody)))
	if w.Code != 201 || len(w.set) != 2 || w.set[0].IsZero() || !w.set[1].IsZero() {
		t.Errorf("%d with deadlines %v, want one and its end", w.Code, w.set)
	}
}

// deadlines records the read deadlines that are set.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(deadline time.Time) error {
	d.set = append(d.set, deadline)
	return nil
}

// servePipe serves one connection in memory, which synctest's clock can see.
func servePipe(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	closed, served := make(chan struct{}), make(chan struct{})
	s := &http.Server{Handler: h, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}}
	listener := make(pipeListener, 1)
	listener <- server
	go func() { s.Serve(listener); close(served) }()
	t.Cleanup(func() {
		client.Close()
		<-closed
		s.Close()
		<-served
	})
	return client
}

// pipeListener accepts what lies in it.
type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	conn, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l pipeListener) Close() error { close(l); return nil }

func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
