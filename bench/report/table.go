package report

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Table is a table of the report. A row may have fewer cells than the head.
type Table struct {
	Title, Note string
	Head        []string
	Rows        [][]string
}

// write writes the table as Markdown that is also aligned as plain text: the first column to the
// left, the others to the right.
func (t Table) write(to *strings.Builder) {
	if t.Title != "" {
		fmt.Fprintf(to, "\n## %s\n", t.Title)
	}
	if t.Note != "" {
		fmt.Fprintf(to, "\n%s\n", t.Note)
	}
	to.WriteByte('\n')
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	writeRow(to, t.Head, widths)
	for i, width := range widths {
		alignment := ":"
		if i == 0 {
			alignment = "-"
		}
		to.WriteString("|" + strings.Repeat("-", width+1) + alignment)
	}
	to.WriteString("|\n")
	for _, row := range t.Rows {
		writeRow(to, row, widths)
	}
}

func writeRow(to *strings.Builder, row []string, widths []int) {
	for i, width := range widths {
		cell := ""
		if i < len(row) {
			cell = row[i]
		}
		if i == 0 {
			width = -width
		}
		fmt.Fprintf(to, "| %*s ", width, cell)
	}
	to.WriteString("|\n")
}
