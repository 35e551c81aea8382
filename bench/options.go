package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"hoko.to/edge/bench/suite"
)

// options are the options of the command line.
type options struct {
	mode    suite.Mode
	suites  []suite.Suite
	scale   bool
	binary  string // path of the edge; built if empty
	out     string // directory for the results; they are only printed if empty
	profile string // directory for profiles; none are taken if empty
	logs    string // directory for logs; they are discarded if empty
}

const usage = `Usage: script/bench [flags]

Compares the edge with its alternatives on this machine. Without flags, it runs
every suite except scale, takes under 20 minutes and writes bench/RESULTS.md and
bench/plot.svg. Nothing else should run on the machine meanwhile.

Suites (bench/README.md describes them):
`

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		for _, s := range suite.All {
			fmt.Fprintln(flags.Output(), "  "+s.Name)
		}
		fmt.Fprintln(flags.Output(), "\nFlags:")
		flags.PrintDefaults()
	}
	quick := flags.Bool("quick", false, "run shorter and fewer rounds, about three minutes, and only print the results")
	smoke := flags.Bool("smoke", false,
		"run every suite but peers for an instant, without verdicts, and only print the results")
	flags.BoolVar(&o.scale, "scale", false,
		"run only the suite scale, with up to 10 million rows per table; needs ten minutes and 40 GB of disk")
	names := flags.String("suite", "", "run only these `suites`, separated by commas, and only print the results")
	flags.StringVar(&o.binary, "edge", "", "measure this `binary` instead of building the edge")
	flags.StringVar(&o.out, "out", "", "write RESULTS.md and plot.svg to this `directory`"+
		" (default \"bench\" for runs without --quick, --smoke, --suite and --profile)")
	flags.StringVar(&o.profile, "profile", "", "write CPU and allocation profiles of the edge to this `directory`"+
		" and only print the results; slows the edge down by a few percent")
	flags.StringVar(&o.logs, "logs", "", "write the output of edges and services to this `directory`"+
		" instead of /dev/null")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	switch {
	case *quick && *smoke:
		return o, errors.New("--quick and --smoke exclude each other")
	case *quick:
		o.mode = suite.Quick
	case *smoke:
		o.mode = suite.Smoke
	default:
		o.mode = suite.Full
	}
	if err := o.selectSuites(*names); err != nil {
		return o, err
	}
	if o.out == "" && !*quick && !*smoke && *names == "" && o.profile == "" {
		o.out = "bench"
	}
	return o, nil
}

// selectSuites sets the suites from the names in --suite. Without names, these are the suites that
// need no request, or only scale with --scale, or all without HAProxy and nginx in a mode with
// AllSuites.
func (o *options) selectSuites(names string) error {
	if names == "" {
		o.suites = slices.DeleteFunc(slices.Clone(suite.All), func(s suite.Suite) bool {
			if o.mode.AllSuites {
				return s.Peers
			}
			return s.OptIn != o.scale
		})
		return nil
	}
	if o.scale {
		return errors.New("--suite and --scale exclude each other")
	}
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(suite.All, func(s suite.Suite) bool { return s.Name == name })
		if i < 0 {
			return fmt.Errorf("unknown suite %q; --help lists them", name)
		}
		o.suites = append(o.suites, suite.All[i])
	}
	return nil
}
