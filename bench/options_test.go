package main

import (
	"slices"
	"strings"
	"testing"
)

func TestParseOptions(t *testing.T) {
	usual := strings.Fields("sale kinds service key lone latency refusals proxy peers memory delay micro")
	withoutPeers := slices.DeleteFunc(slices.Clone(usual), func(name string) bool { return name == "peers" })
	dir := t.TempDir()
	for _, tc := range []struct {
		args   []string
		mode   string
		suites []string
		out    string
	}{
		{nil, "full", usual, "bench"},
		{[]string{"--quick"}, "quick", usual, ""},
		{[]string{"--smoke", "--out", dir}, "smoke", append(withoutPeers, "scale"), dir},
		{[]string{"--scale"}, "full", []string{"scale"}, "bench"},
		{[]string{"--suite", "proxy,sale"}, "full", []string{"proxy", "sale"}, ""},
		{[]string{"--profile", dir}, "full", usual, ""},
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
			t.Errorf("%q: mode %s, suites %q, out %q; want %s, %q, %q",
				tc.args, o.mode.Name, names, o.out, tc.mode, tc.suites, tc.out)
		}
	}
	for _, args := range []string{"--quick --smoke", "--suite unknown", "--suite sale --scale", "sale"} {
		if _, err := parseOptions(strings.Fields(args)); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
}
