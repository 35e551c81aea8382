package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// bench is one run.
type bench struct {
	mode    mode
	options options
	stage   *stage
	report  *report
	suite   string  // that runs
	peak    float64 // sales a second of the edge, once measured
}

// suite is a set of sides that are measured together.
type suite struct {
	name  string
	run   func(context.Context, *bench) error
	alone bool // only where it is asked for
}

var suites = []suite{
	{name: "sale", run: sales},
	{name: "kinds", run: kindsOfSales},
	{name: "service", run: service},
	{name: "lone", run: loneClient},
	{name: "latency", run: openLoop},
	{name: "refusals", run: refusals},
	{name: "proxy", run: proxies},
	{name: "memory", run: memory},
	{name: "delay", run: delays},
	{name: "micro", run: micro},
	{name: "scale", run: scales, alone: true},
}

func (b *bench) run(ctx context.Context, s suite) error {
	b.suite = s.name
	mark := b.stage.mark()
	defer b.stage.unwind(mark)
	started := time.Now()
	defer func() { b.progress("took %.0f s", time.Since(started).Seconds()) }()
	return s.run(ctx, b)
}

// progress tells a person who waits what is going on.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%-8s  %s\n", b.suite, fmt.Sprintf(format, args...))
}
