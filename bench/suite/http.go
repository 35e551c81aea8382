package suite

import (
	"context"
	"maps"
	"strings"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/measure"
	"hoko.to/edge/bench/peers"
	"hoko.to/edge/bench/stage"
)

const (
	// generator is the name of what sends requests.
	generator = "generator"

	// benchKey is the key that the seed has stored. Redis is asked for its limit each time, which is
	// never reached.
	benchKey = "hoko_bench_key"

	createdStatus = 201
)

// sender drives a side over HTTP.
type sender struct{ load.Spec }

// try sends the request once, with its placeholders filled in.
func (s *sender) try(ctx context.Context) error {
	fill := strings.NewReplacer("{seq}", "0000000000000000", "{pick}", "00000000")
	r := s.Request
	r.Body, r.Header = fill.Replace(r.Body), maps.Clone(r.Header)
	for name, value := range r.Header {
		r.Header[name] = fill.Replace(value)
	}
	_, err := stage.Ask(ctx, stage.NewClient(0), s.URL, r, s.Expect)
	return err
}

func (s *sender) longer() { s.Duration *= 2 }

func (s *sender) drive(ctx context.Context, begin, end func() error) (outcome, error) {
	r, err := load.Run(ctx, s.Spec, begin, end)
	return outcome{r.Requests, r.Seconds, r.Latency, r.Errors, generator, r.CPU}, err
}

// send returns a side of so many connections to a server.
func (b *Bench) send(name, url string, connections, expect int, r load.Request, servers ...measure.Process) *side {
	return &side{name: name, connections: connections, servers: servers, driver: &sender{load.Spec{
		URL: url, Connections: connections, Warmup: b.Mode.warmup, Duration: b.Mode.measure, Request: r, Expect: expect,
	}}}
}

func (s *side) spec() *load.Spec { return &s.driver.(*sender).Spec }

// saleSide returns a side that sells through an edge.
func (b *Bench) saleSide(name string, e *stage.Edge, connections int) *side {
	s := b.send(name, e.URL, connections, createdStatus, b.saleRequest(), e.Processes(b.Stage.Backends()...)...)
	s.edge = e
	return s
}

// saleRequest returns a sale of any of the seeded customers.
func (b *Bench) saleRequest() load.Request {
	r := keyed("POST", "/api/track/sale", benchKey)
	r.Body, r.Pick, r.Header["Content-Type"] = strings.TrimSpace(peers.Sale), b.Mode.Customers, "application/json"
	return r
}

// keyed returns a request without a body, and without a key if that is empty.
func keyed(method, path, key string) load.Request {
	r := load.Request{Method: method, Path: path, Header: map[string]string{}}
	if key != "" {
		r.Header["Authorization"] = "Bearer " + key
	}
	return r
}
