// Package load generates HTTP/1.1 and HTTP/2 load and measures latency. It shares the machine with
// what it measures, so it must be cheap. With TLS 1.3, a request costs 11 µs of CPU at 64
// connections and 15 µs at 256; wrk with a fixed request costs 11 and 26 µs. An open loop costs 25
// to 100 µs, because it wakes up for each request. HTTP/2 uses net/http and costs 50 µs, which is
// enough to compare servers but not to find their peak.
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

// grace is how long a run waits for the last responses after the measured time.
const grace = 10 * time.Second

// Spec describes a run.
type Spec struct {
	URL              string // scheme and address; certificates are not verified
	Connections      int    // HTTP/1.1 connections, or concurrent requests over up to four HTTP/2 connections
	Warmup, Duration time.Duration
	HTTP2            bool
	Request          Request
	Expect           int // expected status, 200 by default; others count as errors

	// Rate is the number of requests per second over all connections, at random times (Poisson). If
	// it is 0, each connection sends the next request after the last response.
	Rate float64
}

// Request is the request that a run repeats. Path, header values and body may contain {seq}, 16
// digits that are unique in the run, {pick}, an 8-digit random number below Pick, and {connection},
// the 8-digit number of the connection, or of the concurrent request with HTTP/2, from 0. Each
// placeholder has one value per request, and lengths never change.
type Request struct {
	Method, Path string
	Header       map[string]string // the default Host is the URL's
	Body         string
	Pick         int
	Start        uint64 // the first {seq}; by default the time in µs, which later runs do not repeat
}

// Result is the outcome of a run. Except for Reconnects and Next, it
// covers only the measured time.
type Result struct {
	Requests   int            // responses with the expected status
	Seconds    float64        // the measured time
	Errors     map[string]int // by status or text
	Reconnects int            // in the whole run; with HTTP/2, once per request that noticed
	Latency    Latency        // since a request was sent, or was due in an open loop
	CPU        time.Duration  // user and system time of the load process
	Next       uint64         // the first unused {seq}
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

// run executes s and returns after the last response. It calls measuring when the warm-up ends and
// done when the measured time ends.
func run(ctx context.Context, s Spec, measuring, done func()) (Result, error) {
	if err := s.check(); err != nil {
		return Result{}, err
	}
	clients := newClients(s)
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	if err := connect(runCtx, clients); err != nil {
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
		workers.Go(func() { p.run(runCtx) })
	}
	for i, c := range clients {
		random := rand.New(rand.NewPCG(s.Request.Start, uint64(i)))
		w := worker{client: c, recorder: r, pick: uint32(s.Request.Pick), random: random}
		workers.Go(func() {
			if dues != nil {
				w.openLoop(runCtx, dues)
			} else {
				w.closedLoop(runCtx)
			}
		})
	}
	from := r.start.Add(s.Warmup)
	r.used = cpuBetween(ctx, from, from.Add(s.Duration), measuring, done)
	workers.Wait()
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	return r.result(), nil
}

// connect opens all connections, at most 16 at the same time.
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

// wait reports whether d passed before ctx ended.
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
	connect(ctx context.Context) error // replaces a connection that is not usable
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
	clients := make([]client, s.Connections)
	for i := range clients {
		clients[i] = newHTTP1(address, secure, newTemplate(s.Request.ForConnection(i), host(s.URL)))
	}
	return clients
}
