// Package suite contains the measurements. A suite starts the systems that it compares, measures
// them in turn, and reports the figures.
package suite

import (
	"context"
	"fmt"
	"os"
	"time"

	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
)

// Bench runs suites.
type Bench struct {
	Mode    Mode
	Stage   *stage.Stage
	Report  *report.Report
	Profile string        // directory for profiles of the edge; none are taken if empty
	Delay   time.Duration // one-way delay of the "delay" process

	suite string  // the running suite
	peak  float64 // sales per second of the edge; 0 until measured
}

// Suite is a named group of measurements.
type Suite struct {
	Name  string
	OptIn bool // runs only on request
	Peers bool // needs HAProxy and nginx: --smoke runs it only on request
	run   func(context.Context, *Bench) error
}

// All contains the suites in the order in which they run.
var All = []Suite{
	{Name: "sale", run: sales},
	{Name: "kinds", run: kindsOfSales},
	{Name: "service", run: service},
	{Name: "key", run: busyKey},
	{Name: "lone", run: loneClient},
	{Name: "latency", run: openLoop},
	{Name: "refusals", run: rejections},
	{Name: "proxy", run: proxies},
	{Name: "peers", run: peerProxies, Peers: true},
	{Name: "memory", run: memory},
	{Name: "delay", run: delays},
	{Name: "micro", run: micro},
	{Name: "scale", run: scales, OptIn: true},
}

// Run runs the suites and ends the processes of each. It returns the error of the first suite that
// fails, and runs no further ones.
func (b *Bench) Run(ctx context.Context, suites []Suite) error {
	for _, s := range suites {
		b.suite = s.Name
		mark, started := b.Stage.Mark(), time.Now()
		err := s.run(ctx, b)
		b.progress("took %.0f s", time.Since(started).Seconds())
		b.Stage.Unwind(mark)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// progress prints a line to standard error.
func (b *Bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%-8s  %s\n", b.suite, fmt.Sprintf(format, args...))
}

// startEdge starts an edge with the shipped Caddyfile.
func (b *Bench) startEdge(ctx context.Context) (*stage.Edge, error) {
	return b.Stage.StartEdge(ctx, stage.Shipped(), b.Stage.Env(nil))
}

// none is the bound of a figure without a requirement or a goal.
var none report.Bound

var atLeast, atMost = report.AtLeast, report.AtMost
