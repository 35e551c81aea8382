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

// benchmarked are the packages with benchmarks of the hot path.
var benchmarked = []string{"./plugin/apikey", "./plugin/sale", "./plugin/ratelimit", "./caddymodule/logencoder", "./plugin/postgres/..."}

const (
	cachedKey    = "apikey.CachedKey"
	accessLog    = "logencoder.AccessLog"
	caddysOwnLog = "logencoder.AccessLogOfCaddy"
)

// micro runs Go's benchmarks.
func micro(ctx context.Context, b *Bench) error {
	args := []string{"test", "-vet=off", "-trimpath", "-tags", stage.BuildTags, "-run", "^$", "-bench", ".",
		"-skip", "HundredThousand", "-benchmem", "-benchtime", b.Mode.benchtime, "-count", strconv.Itoa(b.Mode.rounds)}
	out, err := b.Stage.Go(ctx, append(args, benchmarked[:b.Mode.packages]...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test -bench: %w\n%s", err, out)
	}
	found, err := parseBenchmarks(bytes.NewReader(out))
	if err != nil || len(found) == 0 {
		return fmt.Errorf("go test -bench: no result (%v) in\n%s", err, out)
	}
	t := report.Table{
		Title: "micro", Note: "Go's benchmarks of the hot path, each on its own.",
		Head: []string{"", "a run", "spread", "bytes", "allocations"},
	}
	for _, m := range found {
		took := report.FigureOf(m.nanos)
		t.Rows = append(t.Rows, []string{m.name, report.Nanos.Show(took.Value), report.Nanos.Spread(took),
			report.Count.Show(m.bytes), report.Count.Show(m.allocs)})
		if m.name == cachedKey {
			b.Report.Judge("authentication of a cached key", took, report.Nanos, atMost(400), atMost(200))
			b.Report.Judge("allocations of that", report.FigureOf([]float64{m.allocs}), report.Count, atMost(0), none)
		}
	}
	b.Report.Tables = append(b.Report.Tables, t)
	if own, caddys := nanosOf(found, accessLog), nanosOf(found, caddysOwnLog); own != nil && caddys != nil {
		for i := range own {
			own[i] /= caddys[i]
		}
		b.Report.Judge("CPU of a sale's line in the access log, against Caddy's JSON encoder",
			report.FigureOf(own), report.Times, atMost(1), none)
	}
	return nil
}

// nanosOf returns what the runs of a benchmark took; nil if it did not run.
func nanosOf(all []*benchmark, name string) []float64 {
	for _, b := range all {
		if b.name == name {
			return slices.Clone(b.nanos)
		}
	}
	return nil
}

// benchmark is the runs of one.
type benchmark struct {
	name          string
	nanos         []float64
	bytes, allocs float64
}

// parseBenchmarks reads what go test prints, in its order.
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

// procs is the GOMAXPROCS that go test appends to a name.
var procs = regexp.MustCompile(`-\d+$`)
