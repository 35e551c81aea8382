package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// table is one of the report.
type table struct {
	title, note string
	head        []string
	rows        [][]string
}

// write writes it as Markdown that reads well as it is, too.
func (t table) write(to *strings.Builder) {
	if t.title != "" {
		fmt.Fprintf(to, "\n## %s\n", t.title)
	}
	if t.note != "" {
		fmt.Fprintf(to, "\n%s\n", t.note)
	}
	to.WriteByte('\n')
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	writeRow(to, t.head, widths)
	for i, width := range widths {
		if to.WriteString("|"); i == 0 {
			to.WriteString(strings.Repeat("-", width+2))
		} else {
			to.WriteString(strings.Repeat("-", width+1) + ":")
		}
	}
	to.WriteString("|\n")
	for _, row := range t.rows {
		writeRow(to, row, widths)
	}
}

// writeRow aligns the first column left and numbers right.
func writeRow(to *strings.Builder, row []string, widths []int) {
	for i, width := range widths {
		cell := ""
		if i < len(row) {
			cell = row[i]
		}
		pad := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
		if i == 0 {
			to.WriteString("| " + cell + pad + " ")
		} else {
			to.WriteString("| " + pad + cell + " ")
		}
	}
	to.WriteString("|\n")
}

// processes is the order of the columns of CPU.
var processes = []string{"edge", "Caddy", "service", "pgbench", "Postgres", "Redis", "site", "delay", generator}

// tabulate adds a table of sides: how many requests, how long, and whose CPU each cost.
func (b *bench) tabulate(title, note string, sides ...*side) {
	b.report.tables = append(b.report.tables, tableOf(title, note, sides))
}

func tableOf(title, note string, sides []*side) table {
	seen := map[string]bool{}
	calls, failed := false, false
	for _, s := range sides {
		for _, sample := range s.samples {
			for name := range maps.Keys(sample.cpu) {
				seen[name] = true
			}
			calls = calls || sample.redisCalls > 0
			failed = failed || len(sample.errors) > 0
		}
	}
	columns := slices.DeleteFunc(slices.Clone(processes), func(name string) bool { return !seen[name] })
	t := table{title: title, note: note, head: []string{"", "connections", "a second", "spread", "p50", "p99"}}
	for _, name := range columns {
		t.head = append(t.head, name+" µs")
	}
	t.head = append(t.head, "CPU µs without "+generator)
	if calls {
		t.head = append(t.head, "Redis calls")
	}
	if failed {
		t.head = append(t.head, "errors")
	}
	for _, s := range sides {
		r := s.of(rate)
		row := []string{s.name, fmt.Sprint(s.connections), count.show(r.value), count.spread(r), millis.show(s.of(p50).value), millis.show(s.of(p99).value)}
		for _, name := range columns {
			row = append(row, blankZero("%.1f", s.of(cpuOf(name)).value))
		}
		row = append(row, blankZero("%.1f", s.of(cpuOf(columns[:len(columns)-1]...)).value))
		if calls {
			row = append(row, blankZero("%.2f", s.of(redisCalls).value))
		}
		if failed {
			row = append(row, strings.TrimPrefix(complaints(allErrors(s)), "; "))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// redisCalls a request.
func redisCalls(s sample) float64 { return float64(s.redisCalls) / float64(s.requests) }

func allErrors(s *side) map[string]int {
	all := map[string]int{}
	for _, sample := range s.samples {
		for what, n := range sample.errors {
			all[what] += n
		}
	}
	return all
}

// blankZero leaves a cell empty where a process has no part.
func blankZero(format string, v float64) string {
	text := fmt.Sprintf(format, v)
	if text == fmt.Sprintf(format, 0.0) {
		return ""
	}
	return text
}
