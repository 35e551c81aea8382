package suite

import (
	"context"
	"net/http"
	"strings"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/measure"
	"hoko.to/edge/bench/peers"
	"hoko.to/edge/bench/stage"
)

// generator is the name of the load generator in tables.
const generator = "generator"

// Keys of peers.Seed. No side reaches their limits. Concurrent requests with one key may share a
// call to Redis, so with ownKeys each request asks Redis.
const (
	benchKey = "hoko_bench_key"              // of all connections
	ownKeys  = "hoko_bench_key_{connection}" // each connection has its own
)

// httpDriver sends requests over HTTP.
type httpDriver struct{ load.Spec }

func (d *httpDriver) check(ctx context.Context) error {
	fill := strings.NewReplacer("{seq}", "0000000000000000", "{pick}", "00000000")
	r := d.Request.ForConnection(0)
	r.Body = fill.Replace(r.Body)
	for name, value := range r.Header {
		r.Header[name] = fill.Replace(value)
	}
	_, err := stage.Send(ctx, stage.NewClient(0), d.URL, r, d.Expect)
	return err
}

func (d *httpDriver) extend() { d.Duration *= 2 }

func (d *httpDriver) drive(ctx context.Context, begin, end func() error) (outcome, error) {
	r, err := load.Run(ctx, d.Spec, begin, end)
	return outcome{r.Requests, r.Seconds, r.Latency, r.Errors, generator, r.CPU}, err
}

// httpSide returns a side that repeats a request and expects one status.
func (b *Bench) httpSide(name, url string, connections, status int, r load.Request, servers ...measure.Process) *side {
	return &side{name: name, connections: connections, servers: servers, driver: &httpDriver{load.Spec{
		URL: url, Connections: connections, Warmup: b.Mode.warmup, Duration: b.Mode.measure, Request: r, Expect: status,
	}}}
}

// spec returns the load of an HTTP side, which the caller may change.
func (s *side) spec() *load.Spec { return &s.driver.(*httpDriver).Spec }

// saleSide returns a side that records sales through an edge.
func (b *Bench) saleSide(name string, e *stage.Edge, connections int) *side {
	servers := e.Processes(b.Stage.Databases()...)
	s := b.httpSide(name, e.URL, connections, http.StatusCreated, b.saleRequest(ownKeys), servers...)
	s.edge = e
	return s
}

// saleRequest returns a sale to a random customer of the seed.
func (b *Bench) saleRequest(key string) load.Request {
	r := emptyRequest("POST", "/api/track/sale", key)
	r.Body, r.Pick, r.Header["Content-Type"] = strings.TrimSpace(peers.Sale), b.Mode.Customers, "application/json"
	return r
}

// emptyRequest returns a request without a body, and without a key if key is empty.
func emptyRequest(method, path, key string) load.Request {
	r := load.Request{Method: method, Path: path, Header: map[string]string{}}
	if key != "" {
		r.Header["Authorization"] = "Bearer " + key
	}
	return r
}
