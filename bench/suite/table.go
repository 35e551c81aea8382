package suite

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hoko.to/edge/bench/report"
)

// processes is the order of the CPU columns; those for the total and the generator follow.
var processes = []string{
	"edge", "Caddy", "HAProxy", "nginx", "service", "pgbench", "Postgres", "Redis", "site", "delay",
}

// addTable adds a table with a row for each side: rate, latency, and CPU time by process.
func (b *Bench) addTable(title, note string, sides ...*side) {
	b.Report.Tables = append(b.Report.Tables, newTable(title, note, sides))
}

// newTable returns the table of addTable. Columns without any value are left out.
func newTable(title, note string, sides []*side) report.Table {
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
	t := report.Table{Title: title, Note: note}
	t.Head = []string{"side", "connections", "requests/s", "spread", "p50", "p99"}
	for _, name := range columns {
		t.Head = append(t.Head, name+" µs")
	}
	t.Head = append(t.Head, "total µs", generator+" µs")
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
		r := s.figure(rate)
		row := []string{s.name, fmt.Sprint(s.connections), report.Count.Format(r.Value), report.Count.Spread(r),
			report.Millis.Format(s.figure(p50).Value), report.Millis.Format(s.figure(p99).Value)}
		for _, name := range columns {
			row = append(row, report.Micros.FormatNonzero(s.figure(cpuOf(name)).Value))
		}
		row = append(row, report.Micros.FormatNonzero(s.figure(cpuOf(columns...)).Value),
			report.Micros.FormatNonzero(s.figure(cpuOf(generator)).Value))
		if calls {
			row = append(row, report.Fraction.FormatNonzero(s.figure(redisCalls).Value))
		}
		if failed {
			row = append(row, strings.TrimPrefix(errorSummary(s.errors()), "; "))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// redisCalls returns the Redis calls per request.
func redisCalls(s sample) float64 { return float64(s.redisCalls) / float64(s.requests) }

// errors returns the errors of all rounds, by kind.
func (s *side) errors() map[string]int {
	all := map[string]int{}
	for _, sample := range s.samples {
		for kind, n := range sample.errors {
			all[kind] += n
		}
	}
	return all
}

// addCurve adds a curve for the sides with the given name to the plot.
func (b *Bench) addCurve(name string, sides []*side) {
	c := report.Curve{Name: name}
	plotted := b.Mode.plotConnections()
	for _, s := range sides {
		if s.name == name && slices.Contains(plotted, s.connections) {
			p := report.Point{Connections: s.connections, Rate: s.figure(rate).Value, P99: s.figure(p99).Value}
			c.Points = append(c.Points, p)
		}
	}
	slices.SortFunc(c.Points, func(a, b report.Point) int { return cmp.Compare(a.Connections, b.Connections) })
	b.Report.Curves = append(b.Report.Curves, c)
}
