package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
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
	found := parseBenchmarks(out)
	if len(found) == 0 {
		return fmt.Errorf("go test -bench: no result in\n%s", out)
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

var (
	benchmarkLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(.*)$`)
	packageLine   = regexp.MustCompile(`^pkg: \S*/(\S+)$`)
	measuredUnit  = regexp.MustCompile(`([\d.]+) (B/op|allocs/op)`)
)

// parseBenchmarks reads what go test prints, in its order.
func parseBenchmarks(out []byte) (all []*benchmark) {
	byName := map[string]*benchmark{}
	pkg := ""
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if m := packageLine.FindStringSubmatch(lines.Text()); m != nil {
			pkg = m[1]
		}
		m := benchmarkLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		name := pkg + "." + m[1]
		if byName[name] == nil {
			byName[name] = &benchmark{name: name}
			all = append(all, byName[name])
		}
		byName[name].add(m[2], m[3])
	}
	return all
}

func (b *benchmark) add(took, rest string) {
	b.nanos = append(b.nanos, number(took))
	for _, m := range measuredUnit.FindAllStringSubmatch(rest, -1) {
		switch m[2] {
		case "B/op":
			b.bytes = max(b.bytes, number(m[1]))
		case "allocs/op":
			b.allocs = max(b.allocs, number(m[1]))
		}
	}
}

// number of digits and points, as the expressions above match.
func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(err)
	}
	return n
}
