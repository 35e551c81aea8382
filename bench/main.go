// Command bench measures the edge side by side with what would otherwise do its
// work, on one machine and within one run. README.md says how to read it.
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
)

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

// dispatch: the parts of the measurement that are processes of their own, so
// that their CPU is told apart, are this same binary.
func dispatch(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "load":
			return load.Main(os.Stdin, os.Stdout)
		case "site":
			return serveSite(os.Stdin, os.Stdout)
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

// run measures the chosen suites and reports them.
func run(ctx context.Context, o options) (err error) {
	if o.machine, err = findMachine(); err != nil {
		return err
	}
	stage, err := openStage(ctx, o)
	if err != nil {
		return err
	}
	defer stage.close()
	b := &bench{mode: o.mode, options: o, stage: stage, report: &report{machine: o.machine.String(), mode: o.mode}}
	failed := b.runAll(ctx)
	if b.report.versions, err = stage.versions(ctx); err != nil {
		return errors.Join(failed, err)
	}
	b.report.settings = stage.settings()
	if failed != nil {
		b.options.out = "" // what was measured is printed, and that is all it is good for
	}
	return errors.Join(b.publish(), failed)
}

// runAll stops at the first suite that fails.
func (b *bench) runAll(ctx context.Context) error {
	for _, s := range b.options.suites {
		if err := b.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}
