package suite

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hoko.to/edge/bench/report"
)

// processes is the order of the columns of CPU.
var processes = []string{"edge", "Caddy", "service", "pgbench", "Postgres", "Redis", "site", "delay", generator}

// tabulate adds a table of sides: how many requests, how long, and whose CPU each cost.
func (b *Bench) tabulate(title, note string, sides ...*side) {
	b.Report.Tables = append(b.Report.Tables, tableOf(title, note, sides))
}

func tableOf(title, note string, sides []*side) report.Table {
	seen := map[string]bool{}
	calls, failed := false, false
	for _, s := range sides {
		for _, sample := range s.samples {
			for name := range sample.cpu {
				seen[name] = true
			}
			calls = calls || sample.redisCalls > 0
			failed = failed || len(sample.errors) > 0
		}
	}
	columns := slices.DeleteFunc(slices.Clone(processes), func(name string) bool { return !seen[name] })
	t := report.Table{Title: title, Note: note, Head: []string{"", "connections", "a second", "spread", "p50", "p99"}}
	for _, name := range columns {
		t.Head = append(t.Head, name+" µs")
	}
	t.Head = append(t.Head, "CPU µs without "+generator)
	if calls {
		t.Head = append(t.Head, "Redis calls")
	}
	if failed {
		t.Head = append(t.Head, "errors")
	}
	for _, s := range sides {
		if len(s.samples) == 0 {
			continue
		}
		r := s.of(rate)
		row := []string{s.name, fmt.Sprint(s.connections), report.Count.Show(r.Value), report.Count.Spread(r),
			report.Millis.Show(s.of(p50).Value), report.Millis.Show(s.of(p99).Value)}
		for _, name := range columns {
			row = append(row, report.Micros.ShowPositive(s.of(cpuOf(name)).Value))
		}
		row = append(row, report.Micros.ShowPositive(s.of(cpuOf(columns[:len(columns)-1]...)).Value))
		if calls {
			row = append(row, report.Share.ShowPositive(s.of(redisCalls).Value))
		}
		if failed {
			row = append(row, strings.TrimPrefix(complaints(s.errors()), "; "))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// redisCalls a request.
func redisCalls(s sample) float64 { return float64(s.redisCalls) / float64(s.requests) }

// errors are those of all rounds.
func (s *side) errors() map[string]int {
	all := map[string]int{}
	for _, sample := range s.samples {
		for what, n := range sample.errors {
			all[what] += n
		}
	}
	return all
}

// draw adds a curve of the sides of a name.
func (b *Bench) draw(curve, name string, sides []*side) {
	c := report.Curve{Name: curve}
	wanted := b.Mode.plotted()
	for _, s := range sides {
		if s.name == name && slices.Contains(wanted, s.connections) {
			c.Points = append(c.Points, report.Point{Connections: s.connections, Rate: s.of(rate).Value, P99: s.of(p99).Value})
		}
	}
	slices.SortFunc(c.Points, func(a, b report.Point) int { return cmp.Compare(a.Connections, b.Connections) })
	b.Report.Curves = append(b.Report.Curves, c)
}
