package command

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// AddJSONFlag adds --json to a command that prints data.
func AddJSONFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("json", false, "print one JSON document instead of text")
}

// AsJSON reports whether --json is given.
func AsJSON(cmd *cobra.Command) bool {
	asJSON, _ := cmd.Flags().GetBool("json")
	return asJSON
}

// PrintJSON prints v as one indented JSON document.
func PrintJSON(cmd *cobra.Command, v any) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// Color is the color of text on a terminal.
type Color string

// The colors.
const (
	Plain  Color = ""
	Red    Color = "31"
	Green  Color = "32"
	Yellow Color = "33"
)

// Cell is a text of a table.
type Cell struct {
	Text  string
	Color Color
}

// WriteTable writes rows with aligned columns. Texts should be printable.
func WriteTable(w io.Writer, rows [][]Cell) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell.Text))
		}
	}
	colored := isTerminal(w)
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			b.WriteString(paint(colored, cell.Color, cell.Text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell.Text)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Paint returns text in a color if w is a terminal that has colors.
func Paint(w io.Writer, color Color, text string) string { return paint(isTerminal(w), color, text) }

func paint(colored bool, color Color, text string) string {
	if !colored || color == Plain {
		return text
	}
	return "\x1b[" + string(color) + "m" + text + "\x1b[0m"
}

// isTerminal reports whether w is a terminal, and NO_COLOR (https://no-color.org) is not set.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}

// TimeText returns at as tables print it. It is empty for the zero time.
func TimeText(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// maxTime is the latest time that RFC 3339 has; Postgres has later ones.
var maxTime = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// TimeJSON returns at as --json prints it: nil for the zero time.
func TimeJSON(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	if at = at.UTC(); at.After(maxTime) {
		at = maxTime
	}
	return &at
}

// ShellQuote returns text as one word of a shell command.
func ShellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
