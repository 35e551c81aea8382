package main

import (
	"slices"
	"testing"
)

func TestOptionsChooseSuitesAndWhereResultsGo(t *testing.T) {
	everyday := []string{"sale", "kinds", "service", "lone", "latency", "refusals", "proxy", "memory", "delay", "micro"}
	dir := t.TempDir()
	for _, tc := range []struct {
		args   []string
		mode   string
		suites []string
		out    string
	}{
		{nil, "full", everyday, "bench"},
		{[]string{"--quick"}, "quick", everyday, ""},
		{[]string{"--smoke", "--out", dir}, "smoke", append(slices.Clone(everyday), "scale"), dir},
		{[]string{"--scale"}, "full", []string{"scale"}, "bench"},
		{[]string{"--suite", "proxy,sale"}, "full", []string{"proxy", "sale"}, ""},
		{[]string{"--profile", dir}, "full", everyday, ""},
	} {
		o, err := parseOptions(tc.args)
		if err != nil {
			t.Errorf("%q: %v", tc.args, err)
			continue
		}
		var names []string
		for _, s := range o.suites {
			names = append(names, s.Name)
		}
		if o.mode.Name != tc.mode || !slices.Equal(names, tc.suites) || o.out != tc.out {
			t.Errorf("%q: %s run of %q into %q, want %s, %q, %q", tc.args, o.mode.Name, names, o.out, tc.mode, tc.suites, tc.out)
		}
	}
	for _, args := range [][]string{{"--quick", "--smoke"}, {"--suite", "nonesuch"}, {"--suite", "sale", "--scale"}, {"sale"}} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
