package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"path"
	"regexp"
	"strconv"

	"golang.org/x/perf/benchfmt"
)

// benchmarked are the packages with benchmarks of the hot path.
var benchmarked = []string{"./plugin/apikey", "./plugin/sale", "./plugin/ratelimit", "./plugin/postgres"}

// micro runs Go's benchmarks.
func micro(ctx context.Context, b *bench) error {
	args := []string{"test", "-vet=off", "-trimpath", "-tags", buildTags, "-run", "^$", "-bench", ".", "-skip", "HundredThousand", "-benchmem",
		"-benchtime", b.mode.benchtime, "-count", strconv.Itoa(b.mode.rounds)}
	out, err := b.stage.goCommand(ctx, append(args, benchmarked[:b.mode.packages]...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test -bench: %w\n%s", err, out)
	}
	found, err := parseBenchmarks(bytes.NewReader(out))
	if err != nil || len(found) == 0 {
		return fmt.Errorf("go test -bench: no result (%v) in\n%s", err, out)
	}
	t := table{title: "micro", note: "Go's benchmarks of the hot path, each on its own.", head: []string{"", "a run", "spread", "bytes", "allocations"}}
	for _, m := range found {
		took := figureOf(m.nanos)
		t.rows = append(t.rows, []string{m.name, nanos.show(took.value), nanos.spread(took), count.show(m.bytes), count.show(m.allocs)})
		if m.name == cachedKey {
			b.judge("authentication of a cached key", took, nanos, atMost(400), atMost(200))
			b.judge("allocations of that", figureOf([]float64{m.allocs}), count, atMost(0), none)
		}
	}
	b.report.tables = append(b.report.tables, t)
	return nil
}

const cachedKey = "apikey.CachedKey"

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
