// Command bench compares the edge with its alternatives on one machine and within one run.
// README.md explains how to run it and how to read the results.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/measure"
	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
	"hoko.to/edge/bench/suite"
)

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// dispatch runs the benchmark, or a helper process if the first argument names one. Helpers are
// separate processes so that their CPU time counts separately.
func dispatch(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "load":
			return load.Main(os.Stdin, os.Stdout)
		case "site":
			return stage.ServeSite(os.Stdin, os.Stdout)
		case "delay":
			return serveDelays(os.Stdin, os.Stdout, args[1:])
		}
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return run(ctx, o)
}

// run runs the suites of o and publishes the report, also if a suite fails.
func run(ctx context.Context, o options) error {
	for _, dir := range []string{o.out, o.profile, o.logs} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	machine, err := measure.FindMachine()
	if err != nil {
		return err
	}
	so := stage.Options{Binary: o.binary, PGO: o.mode.Judged, Logs: o.logs, Customers: o.mode.Customers}
	if o.scale {
		so.SharedBuffers = machine.LargeCache()
	}
	s, err := stage.Open(ctx, so)
	if err != nil {
		return err
	}
	defer s.Close()
	r := &report.Report{Run: o.mode.String(), Judged: o.mode.Judged, Machine: machine.String(), Settings: s.Settings()}
	b := &suite.Bench{Mode: o.mode, Stage: s, Report: r, Profile: o.profile, Delay: oneWayDelay}
	failed := b.Run(ctx, o.suites)
	if r.Versions, err = s.Versions(ctx); err != nil {
		return errors.Join(failed, err)
	}
	if failed != nil {
		o.out = "" // print the incomplete report, but do not write it
	}
	return errors.Join(r.Publish(o.out), failed)
}
