// Package suite holds the measurements. Each suite starts its sides, measures them in turn, and
// reports their figures.
package suite

import (
	"context"
	"fmt"
	"os"
	"time"

	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
)

// Bench is one run.
type Bench struct {
	Mode    Mode
	Stage   *stage.Stage
	Report  *report.Report
	Profile string        // directory of profiles of the edge; none if empty
	Delay   time.Duration // of the bench's delays, each way

	suite string  // that runs
	peak  float64 // sales a second of the edge, once measured
}

// Suite is a set of sides that are measured together.
type Suite struct {
	Name  string
	run   func(context.Context, *Bench) error
	Alone bool // only if it is asked for
}

// All are the suites in their order.
var All = []Suite{
	{Name: "sale", run: sales},
	{Name: "kinds", run: kindsOfSales},
	{Name: "service", run: service},
	{Name: "lone", run: loneClient},
	{Name: "latency", run: openLoop},
	{Name: "refusals", run: refusals},
	{Name: "proxy", run: proxies},
	{Name: "memory", run: memory},
	{Name: "delay", run: delays},
	{Name: "micro", run: micro},
	{Name: "scale", run: scales, Alone: true},
}

// Run stops at the first suite that fails. What a suite has started ends with it.
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

// progress tells whoever waits what is going on.
func (b *Bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%-8s  %s\n", b.suite, fmt.Sprintf(format, args...))
}

// startEdge starts the edge as shipped.
func (b *Bench) startEdge(ctx context.Context) (*stage.Edge, error) {
	return b.Stage.StartEdge(ctx, stage.Shipped(), b.Stage.Backing(nil))
}

// The bounds of figures without a bar or a hope.
var none report.Bound

var atLeast, atMost = report.AtLeast, report.AtMost
