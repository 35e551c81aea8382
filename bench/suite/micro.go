package suite

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"

	"golang.org/x/perf/benchfmt"

	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
)

// benchmarkPackages have Go benchmarks of the hot path.
var benchmarkPackages = []string{
	"./plugin/apikey", "./plugin/sale", "./plugin/ratelimit", "./caddymodule/logencoder", "./plugin/postgres/...",
}

// These benchmarks have targets.
const (
	cachedKey      = "apikey.CachedKey"
	accessLog      = "logencoder.AccessLog"
	caddyAccessLog = "logencoder.AccessLog_Caddy"
)

// micro runs Go benchmarks.
func micro(ctx context.Context, b *Bench) error {
	args := []string{"test", "-vet=off", "-trimpath", "-tags", stage.BuildTags, "-run", "^$", "-bench", ".",
		"-skip", "HundredThousand", "-benchmem", "-benchtime", b.Mode.benchtime, "-count", strconv.Itoa(b.Mode.rounds)}
	out, err := b.Stage.Go(ctx, append(args, benchmarkPackages[:b.Mode.packages]...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test -bench: %w\n%s", err, out)
	}
	found, err := parseBenchmarks(bytes.NewReader(out))
	if err != nil || len(found) == 0 {
		return fmt.Errorf("go test -bench: no result (%v) in\n%s", err, out)
	}
	for _, name := range []string{cachedKey, accessLog, caddyAccessLog} {
		if b.Mode.packages == len(benchmarkPackages) && nanosOf(found, name) == nil {
			return fmt.Errorf("go test -bench: no benchmark %s, which has a target", name)
		}
	}
	t := report.Table{
		Title: "Go benchmarks", Note: "Functions of the hot path, measured separately.",
		Head: []string{"benchmark", "per run", "spread", "bytes", "allocations"},
	}
	for _, m := range found {
		duration := report.FigureOf(m.nanos)
		t.Rows = append(t.Rows, []string{m.name, report.Nanos.Format(duration.Value), report.Nanos.Spread(duration),
			report.Count.Format(m.bytes), report.Count.Format(m.allocs)})
		if m.name == cachedKey {
			const name = "authentication of a cached key"
			b.Report.AddTarget(name, duration, report.Nanos, atMost(400), atMost(200))
			allocs := report.FigureOf([]float64{m.allocs})
			b.Report.AddTarget(name+", allocations", allocs, report.Count, atMost(0), none)
		}
	}
	b.Report.Tables = append(b.Report.Tables, t)
	if own, caddys := nanosOf(found, accessLog), nanosOf(found, caddyAccessLog); own != nil && caddys != nil {
		for i := range own {
			own[i] /= caddys[i]
		}
		b.Report.AddTarget("CPU per access log line of a sale, against Caddy's JSON encoder",
			report.FigureOf(own), report.Times, atMost(1), none)
	}
	return nil
}

// nanosOf returns a copy of the durations of a benchmark, or nil if it did not run.
func nanosOf(all []*benchmark, name string) []float64 {
	for _, b := range all {
		if b.name == name {
			return slices.Clone(b.nanos)
		}
	}
	return nil
}

// benchmark holds the runs of a Go benchmark.
type benchmark struct {
	name          string
	nanos         []float64 // per operation, one per run
	bytes, allocs float64   // per operation, the highest of all runs
}

// parseBenchmarks parses the output of go test -bench and keeps its order.
func parseBenchmarks(out io.Reader) (all []*benchmark, err error) {
	byName := map[string]*benchmark{}
	results := benchfmt.NewReader(out, "go test -bench")
	for results.Scan() {
		r, ok := results.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		name := path.Base(r.GetConfig("pkg")) + "." + procs.ReplaceAllString(r.Name.String(), "")
		b := byName[name]
		if b == nil {
			b = &benchmark{name: name}
			byName[name], all = b, append(all, b)
		}
		seconds, _ := r.Value("sec/op")
		bytes, _ := r.Value("B/op")
		allocs, _ := r.Value("allocs/op")
		b.nanos = append(b.nanos, math.Round(seconds*1e12)/1e3)
		b.bytes, b.allocs = max(b.bytes, bytes), max(b.allocs, allocs)
	}
	return all, results.Err()
}

// procs matches the value of GOMAXPROCS that go test appends to a name.
var procs = regexp.MustCompile(`-\d+$`)
