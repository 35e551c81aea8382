package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func runSpec(t *testing.T, s Spec) Result {
	t.Helper()
	if s.Connections == 0 {
		s.Connections = 4
	}
	if s.Duration == 0 {
		s.Duration = 300 * time.Millisecond
	}
	r, err := run(t.Context(), s, func() {}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var modes = map[string]Spec{
	"HTTP/1.1":            {},
	"HTTP/1.1, open loop": {Rate: 500},
	"HTTP/2":              {HTTP2: true, Connections: 12},
	"HTTP/2, open loop":   {HTTP2: true, Connections: 12, Rate: 500},
}

func TestRun_PlaceholdersAreUnique(t *testing.T) {
	const first, pick = 5_000_000, 50
	for name, spec := range modes {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			seen := map[string]bool{}
			peers := map[string]bool{}
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				peers[r.RemoteAddr] = true
				seq, picked, _ := strings.Cut(string(body), " ")
				n, err := strconv.Atoi(picked)
				if len(body) != 16+1+8 || seq != r.Header.Get("Idempotency-Key") || seen[seq] || err != nil ||
					n >= pick || r.Host != "hoko.to" || (r.ProtoMajor == 2) != spec.HTTP2 {
					t.Errorf("%s %s, key %q, body %q", r.Proto, r.Host, r.Header.Get("Idempotency-Key"), body)
				}
				seen[seq] = true
				w.WriteHeader(http.StatusCreated)
			})
			spec.URL, spec.Expect = s.URL, http.StatusCreated
			header := map[string]string{"Idempotency-Key": "{seq}", "Host": "hoko.to"}
			spec.Request = Request{
				Method: "POST", Path: "/", Header: header, Body: "{seq} {pick}", Pick: pick, Start: first,
			}
			r := runSpec(t, spec)
			if r.Requests == 0 || len(r.Errors) != 0 || r.Reconnects != 0 {
				t.Errorf("%+v", r)
			}
			firstAndLast := seen[fmt.Sprintf("%016d", first)] && seen[fmt.Sprintf("%016d", r.Next-1)]
			if r.Next != first+uint64(len(seen)) || !firstAndLast {
				t.Errorf("%d requests seen, the next is %d", len(seen), r.Next)
			}
			if len(peers) != 4 {
				t.Errorf("%d connections", len(peers))
			}
		})
	}
}

func TestRun_CountsErrorsAndContinues(t *testing.T) {
	for name, spec := range modes {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch n.Add(1) % 4 {
				case 0:
					w.WriteHeader(http.StatusServiceUnavailable)
				case 1:
					w.Header().Set("Connection", "close")
				case 2:
					panic(http.ErrAbortHandler)
				}
			})
			spec.URL = s.URL
			r := runSpec(t, spec)
			broken := 0
			for kind, count := range r.Errors {
				if _, err := strconv.Atoi(kind); err != nil {
					broken += count
				}
			}
			if r.Requests == 0 || r.Errors["503"] == 0 || broken == 0 || r.Reconnects == 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestRun_ServerClosesConnections(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Connection", "close") })
	r := runSpec(t, Spec{URL: s.URL})
	if r.Requests == 0 || len(r.Errors) != 0 || r.Reconnects < r.Requests {
		t.Errorf("%+v", r)
	}
}

func TestRun_StallCountsInAnOpenLoop(t *testing.T) {
	const stall = 500 * time.Millisecond
	for _, http2 := range []bool{false, true} {
		var n atomic.Int64
		stalled := make(chan struct{})
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch i := n.Add(1); {
			case i == 20:
				time.AfterFunc(stall, func() { close(stalled) })
				fallthrough
			case i > 20:
				<-stalled
			}
		})
		spec := Spec{
			URL: s.URL, HTTP2: http2, Connections: 4, Rate: 200, Duration: time.Second, Request: Request{Start: 1},
		}
		r := runSpec(t, spec)

		// When the stall begins, four requests (2 % of all) are in flight. Half of all requests are
		// due during the stall.
		if r.Latency.P90 < stall/5 || r.Latency.Max < stall {
			t.Errorf("HTTP/2 %v: %+v", http2, r)
		}
		recorder := newRecorder(spec)
		p, err := newPacer(spec, recorder)
		if err != nil {
			t.Fatal(err)
		}
		due := 0
		for at := p.next(0); at < recorder.to; at = p.next(at) {
			due++
		}
		if r.Latency.Count != due {
			t.Errorf("HTTP/2 %v: %d requests were due, %d have a latency", http2, due, r.Latency.Count)
		}
	}
}

func TestRun_WarmUpIsNotMeasured(t *testing.T) {
	var measuring atomic.Bool
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !measuring.Load() {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	spec := Spec{URL: s.URL, Connections: 2, Warmup: 200 * time.Millisecond, Duration: 200 * time.Millisecond}
	done := false
	r, err := run(t.Context(), spec, func() { measuring.Store(true) }, func() { done = true })
	if err != nil || !done {
		t.Fatal(err, done)
	}
	if r.Requests == 0 || r.Requests >= int(r.Next) || r.Seconds != 0.2 || r.CPU == 0 || r.Latency.Count != r.Requests {
		t.Errorf("%+v", r)
	}
}

func TestWorker_CanceledRequestIsUnanswered(t *testing.T) {
	r := newRecorder(Spec{Duration: time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	w := worker{client: silent{stop}, recorder: r}
	w.closedLoop(ctx)
	if got := r.result(); got.Errors["unanswered"] != 1 || got.Requests != 0 {
		t.Errorf("%+v", got)
	}
}

// silent is a client that ends the run and never gets a response.
type silent struct{ stop func() }

func (silent) connect(context.Context) error { return nil }
func (silent) usable() bool                  { return true }
func (silent) close()                        {}
func (s silent) send(ctx context.Context, _ uint64, _ uint32) (int, error) {
	s.stop()
	return 0, ctx.Err()
}

func TestRun_EndsWithItsContext(t *testing.T) {
	over := errors.New("over")
	for name, spec := range modes {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancelCause(t.Context())
			forever := make(chan struct{})
			s := serve(t, func(http.ResponseWriter, *http.Request) {
				stop(over)
				<-forever
			})
			defer close(forever)
			spec.URL, spec.Duration, spec.Connections = s.URL, time.Hour, 4
			if _, err := run(ctx, spec, func() {}, func() {}); !errors.Is(err, over) {
				t.Error(err)
			}
		})
	}
}

func TestRecorder_BoundsKindsOfErrors(t *testing.T) {
	r := newRecorder(Spec{Duration: time.Hour})
	for port := range 100 {
		r.record(0, 0, 0, &net.OpError{Op: "read", Addr: &net.TCPAddr{Port: port}, Err: io.ErrClosedPipe})
		r.record(0, 0, 400+port, nil)
	}
	errors := r.result().Errors
	all := 0
	for _, n := range errors {
		all += n
	}
	if errors[io.ErrClosedPipe.Error()] != 100 || len(errors) > errorKinds+1 || all != 200 {
		t.Error(errors)
	}
}

func TestSpec_Check(t *testing.T) {
	good := Spec{URL: "http://127.0.0.1:1", Connections: 1, Duration: time.Second}
	err := good.check()
	if r := good.Request; err != nil || good.Expect != 200 || r.Method != "GET" || r.Path != "/" || r.Start == 0 {
		t.Errorf("%+v: %v", good, err)
	}
	for name, spoil := range map[string]func(*Spec){
		"no address":       func(s *Spec) { s.URL = "https:" },
		"another scheme":   func(s *Spec) { s.URL = "ftp://localhost" },
		"HTTP/2 in clear":  func(s *Spec) { s.HTTP2 = true },
		"no connection":    func(s *Spec) { s.Connections = 0 },
		"no duration":      func(s *Spec) { s.Duration = 0 },
		"negative rate":    func(s *Spec) { s.Rate = -1 },
		"nothing to pick":  func(s *Spec) { s.Request.Body = "{pick}" },
		"too much to pick": func(s *Spec) { s.Request.Pick = maxPick + 1 },
	} {
		s := good
		spoil(&s)
		if _, err := run(t.Context(), s, func() {}, func() {}); err == nil {
			t.Error(name)
		}
	}
}

func TestHTTP1_DoesNotAllocate(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	template := newTemplate(Request{Method: "POST", Path: "/", Body: "{seq}{pick}"}, "localhost")
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		request := make([]byte, len(template.wire))
		response := []byte("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
		for {
			if _, err := io.ReadFull(c, request); err != nil {
				return
			}
			if _, err := c.Write(response); err != nil {
				return
			}
		}
	}()
	c := newHTTP1(l.Addr().String(), false, template)
	if err := c.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer c.close()
	n := testing.AllocsPerRun(200, func() {
		if status, err := c.send(t.Context(), 1, 2); status != 201 || err != nil {
			t.Fatal(status, err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
