package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// options are what the command line asks for.
type options struct {
	mode    mode
	suites  []suite
	scale   bool
	machine machine
	partial bool   // not all suites that belong to the mode
	binary  string // of the edge; built where it is empty
	out     string // where the results are written; nowhere where it is empty
	profile string
	logs    string
}

// parseOptions also makes the directories that they name.
func parseOptions(args []string) (options, error) {
	o, err := readOptions(args)
	if err != nil {
		return o, err
	}
	for _, dir := range []string{o.out, o.profile, o.logs} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return o, err
		}
	}
	return o, nil
}

func readOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "about three minutes: fewer and shorter rounds")
	smoke := flags.Bool("smoke", false, "seconds: every suite once, no verdict")
	flags.BoolVar(&o.scale, "scale", false, "sales against tables of up to 10 million rows, and nothing else: some ten minutes, 40 GB of disk")
	names := flags.String("suite", "", "only these, by name and comma: "+strings.Join(suiteNames(), ", "))
	flags.StringVar(&o.binary, "edge", "", "measure this `binary` instead of building the edge")
	flags.StringVar(&o.out, "out", "", "write RESULTS.md and plot.svg into this `directory` (bench, for a full run or --scale)")
	flags.StringVar(&o.profile, "profile", "", "write CPU and allocation profiles of the edge into this `directory`; costs it a few percent")
	flags.StringVar(&o.logs, "logs", "", "keep what edges and services print in this `directory`, instead of /dev/null")
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
		o.mode = quickMode
	case *smoke:
		o.mode = smokeMode
	default:
		o.mode = fullMode
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
		o.suites = slices.DeleteFunc(slices.Clone(suites), func(s suite) bool { return s.alone != o.scale && !o.mode.everything })
		return nil
	}
	if o.scale {
		return errors.New("either --suite or --scale")
	}
	o.partial = true
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(suites, func(s suite) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("no suite %q: there are %s", name, strings.Join(suiteNames(), ", "))
		}
		o.suites = append(o.suites, suites[i])
	}
	return nil
}

func suiteNames() (names []string) {
	for _, s := range suites {
		names = append(names, s.name)
	}
	return names
}
