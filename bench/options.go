package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"hoko.to/edge/bench/suite"
)

// options are what the command line asks for.
type options struct {
	mode    suite.Mode
	suites  []suite.Suite
	scale   bool
	partial bool   // not all suites that belong to the mode
	binary  string // of the edge; built if empty
	out     string // where the results are written; nowhere if empty
	profile string
	logs    string
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "about three minutes: fewer and shorter rounds")
	smoke := flags.Bool("smoke", false, "seconds: every suite once, no verdict")
	flags.BoolVar(&o.scale, "scale", false,
		"sales against tables of up to 10 million rows, and nothing else: some ten minutes, 40 GB of disk")
	names := flags.String("suite", "", "only these, by name and comma: "+strings.Join(suiteNames(), ", "))
	flags.StringVar(&o.binary, "edge", "", "measure this `binary` instead of building the edge")
	flags.StringVar(&o.out, "out", "",
		"write RESULTS.md and plot.svg into this `directory` (bench, for a full run or --scale)")
	flags.StringVar(&o.profile, "profile", "",
		"write CPU and allocation profiles of the edge into this `directory`; costs it a few percent")
	flags.StringVar(&o.logs, "logs", "",
		"keep what edges and services print in this `directory`, instead of /dev/null")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	switch {
	case *quick && *smoke:
		return o, errors.New("either --quick or --smoke")
	case *quick:
		o.mode = suite.Quick
	case *smoke:
		o.mode = suite.Smoke
	default:
		o.mode = suite.Full
	}
	if err := o.choose(*names); err != nil {
		return o, err
	}
	if o.out == "" && !*quick && !*smoke && !o.partial && o.profile == "" {
		o.out = "bench"
	}
	return o, nil
}

// choose picks the suites: those named, else all of them but the scale, which stands alone.
func (o *options) choose(names string) error {
	if names == "" {
		o.suites = slices.DeleteFunc(slices.Clone(suite.All), func(s suite.Suite) bool {
			return s.Alone != o.scale && !o.mode.Everything
		})
		return nil
	}
	if o.scale {
		return errors.New("either --suite or --scale")
	}
	o.partial = true
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(suite.All, func(s suite.Suite) bool { return s.Name == name })
		if i < 0 {
			return fmt.Errorf("no suite %q: there are %s", name, strings.Join(suiteNames(), ", "))
		}
		o.suites = append(o.suites, suite.All[i])
	}
	return nil
}

func suiteNames() (names []string) {
	for _, s := range suite.All {
		names = append(names, s.Name)
	}
	return names
}
