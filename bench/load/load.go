// Package load generates load over HTTP/1.1 or HTTP/2 and tells how long the
// answers took. It shares the machine with what it measures, so it costs little:
// 11 µs of CPU a request at 64 connections over TLS 1.3 and 15 µs at 256, on
// two virtual cores under other load, where wrk with one thread and a fixed
// request took 11 and 26 µs beside it. A second core (GOMAXPROCS=2) buys nothing.
// Open loop costs 25 to 100 µs, the more the fewer requests there are, for each
// is woken up for on its own. HTTP/2 is that of net/http, 50 µs: good for
// comparing servers, not for their peak.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// grace is how long the last answers are waited for after the measured time.
const grace = 10 * time.Second

// Spec says what to send.
type Spec struct {
	URL              string // scheme and address; certificates are not verified
	Connections      int    // HTTP/1.1 connections, or concurrent requests over at most four HTTP/2 connections
	Warmup, Duration time.Duration
	Rate             float64 // requests a second over all connections, at random (Poisson) moments; 0: each connection sends as soon as it is answered
	HTTP2            bool
	Request          Request
	Expect           int // the status wanted, 200 unless set; any other is an error, counted by status
}

// Request is sent again and again. Path, header values and body may hold
// {seq}, 16 digits that no other request of the run has, and {pick}, 8 digits
// at random below Pick. Each has one value in a request, however often it
// stands there, and lengths never change.
type Request struct {
	Method, Path string
	Header       map[string]string // Host is that of the URL unless set
	Body         string
	Pick         int
	Start        uint64 // the first {seq}; unless set, the microseconds since 1970, which no later run repeats
}

// Result is what came of it.
type Result struct {
	Requests   int            // answered as expected within Duration
	Seconds    float64        // Duration
	Errors     map[string]int // by status or text, within Duration
	Reconnects int            // connections closed by the server, or broken; with HTTP/2 one for each request that saw it
	Latency    Latency        // closed loop: since it was sent; open loop: since it was due
	Late       Latency        // open loop: how long after a request was due the generator awoke to send it; part of Latency
	CPU        time.Duration  // of this process within Duration, user and system
	Next       uint64         // the first {seq} not used
}

func (s *Spec) check() error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil:
		return err
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("URL %q: want https:// or http:// and an address", s.URL)
	case s.HTTP2 && u.Scheme != "https":
		return errors.New("HTTP/2 needs an https:// URL")
	case s.Connections < 1 || s.Duration <= 0 || s.Warmup < 0 || s.Rate < 0:
		return errors.New("want at least one connection, a duration and no negative warm-up or rate")
	case s.Request.Pick < 0 || s.Request.Pick > maxPick:
		return fmt.Errorf("pick below %d: want at most %d", s.Request.Pick, maxPick)
	}
	if s.Expect == 0 {
		s.Expect = http.StatusOK
	}
	if s.Request.Method == "" {
		s.Request.Method = http.MethodGet
	}
	if s.Request.Path == "" {
		s.Request.Path = "/"
	}
	if s.Request.Start == 0 {
		s.Request.Start = uint64(time.Now().UnixMicro())
	}
	if s.Request.Pick == 0 && len(newTemplate(s.Request, u.Host).picks) > 0 {
		return errors.New("the request has {pick}: want Pick above 0")
	}
	return nil
}

// run sends what s says and returns when the last answer is there. It calls measuring when the warm-up
// ends and done when the measured time does.
func run(ctx context.Context, s Spec, measuring, done func()) (Result, error) {
	if err := s.check(); err != nil {
		return Result{}, err
	}
	clients := newClients(s)
	cut, stop := context.WithCancel(ctx)
	defer stop()
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	if err := connect(cut, clients); err != nil {
		return Result{}, err
	}
	r := newRecorder(s)
	defer time.AfterFunc(s.Warmup+s.Duration+grace, stop).Stop()

	var workers sync.WaitGroup
	var dues <-chan time.Duration
	if s.Rate > 0 {
		p, err := newPacer(s, r)
		if err != nil {
			return Result{}, err
		}
		dues = p.dues
		workers.Go(func() { p.run(cut) })
	}
	for i, c := range clients {
		w := worker{client: c, recorder: r, pick: uint32(s.Request.Pick), random: rand.New(rand.NewPCG(s.Request.Start, uint64(i)))}
		workers.Go(func() {
			if dues != nil {
				w.openLoop(cut, dues)
			} else {
				w.closedLoop(cut)
			}
		})
	}
	r.used = cpuBetween(ctx, r.start.Add(s.Warmup), r.start.Add(s.Warmup+s.Duration), measuring, done)
	workers.Wait()
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	return r.result(), nil
}

// connect opens all connections, some at a time.
func connect(ctx context.Context, clients []client) error {
	var all errgroup.Group
	all.SetLimit(16)
	for _, c := range clients {
		all.Go(func() error { return c.connect(ctx) })
	}
	if err := all.Wait(); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

func cpuBetween(ctx context.Context, from, to time.Time, measuring, done func()) time.Duration {
	if !wait(ctx, time.Until(from)) {
		return 0
	}
	before := cpu(syscall.RUSAGE_SELF)
	measuring()
	if !wait(ctx, time.Until(to)) {
		return 0
	}
	used := cpu(syscall.RUSAGE_SELF) - before
	done()
	return used
}

func cpu(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// wait reports whether the time passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// client sends one request at a time.
type client interface {
	connect(ctx context.Context) error // again, if the last connection is of no use any more
	send(ctx context.Context, seq uint64, pick uint32) (status int, err error)
	usable() bool
	close()
}

func newClients(s Spec) []client {
	if s.HTTP2 {
		return newHTTP2(s)
	}
	secure := strings.HasPrefix(s.URL, "https:")
	address := address(s.URL)
	t := newTemplate(s.Request, host(s.URL))
	clients := make([]client, s.Connections)
	for i := range clients {
		clients[i] = newHTTP1(address, secure, t)
	}
	return clients
}
