package main

import (
	"context"
	"maps"
	"strings"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/measure"
)

// generator is the name of what sends requests.
const generator = "generator"

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
	_, err := askFor(ctx, s.Expect, s.URL, r)
	return err
}

func (s *sender) longer() { s.Duration *= 2 }

func (s *sender) drive(ctx context.Context, begin, end func() error) (outcome, error) {
	result, err := load.Run(ctx, s.Spec, begin, end)
	if err != nil {
		return outcome{}, err
	}
	return outcome{result.Requests, result.Seconds, result.Latency, result.Errors, generator, result.CPU}, nil
}

// send is a side of these connections to a server.
func (b *bench) send(name, url string, connections int, request load.Request, servers ...measure.Process) *side {
	return &side{name: name, connections: connections, servers: servers, driver: &sender{load.Spec{
		URL: url, Connections: connections, Warmup: b.mode.warmup, Duration: b.mode.measure, Request: request,
	}}}
}

func (s *side) spec() *load.Spec { return &s.driver.(*sender).Spec }

func (s *side) expecting(status int) *side { s.spec().Expect = status; return s }

// profiling has --profile ask that edge.
func (s *side) profiling(e *edge) *side { s.edge = e; return s }
