// Package report holds the figures of a run against their bars and writes them, as Markdown and as
// a plot.
package report

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Report is what a run has found.
type Report struct {
	Run, Machine, Versions, Settings string // what the figures depend on
	Judged                           bool   // bars get a verdict
	Bars                             []Bar
	Tables                           []Table
	Curves                           []Curve
	Scale                            []Table // apart, as it is measured apart
}

// Judge adds a bar.
func (r *Report) Judge(what string, f Figure, u Unit, must, may Bound) {
	r.Bars = append(r.Bars, Bar{what, f, u, must, may})
}

// ScaleTitle heads what --scale adds to the results; other runs keep it.
const ScaleTitle = "# Scale"

// text returns the report in Markdown.
func (r *Report) text(now time.Time) string {
	var t strings.Builder
	head := fmt.Sprintf("- %s, %s\n- %s\n- %s\n- %s\n",
		now.UTC().Format("2006-01-02 15:04 UTC"), r.Run, r.Machine, r.Versions, r.Settings)
	if len(r.Bars)+len(r.Tables) > 0 {
		t.WriteString("# Results\n\nWritten by `script/bench`; [README.md](README.md) says what each row means.\n\n" + head)
		if len(r.Curves) > 0 {
			t.WriteString("\n![Sales a second and p99 over connections](plot.svg)\n")
		}
		if len(r.Bars) > 0 {
			r.barTable().write(&t)
		}
		for _, table := range r.Tables {
			table.write(&t)
		}
	}
	if len(r.Scale) > 0 {
		t.WriteString("\n" + ScaleTitle + "\n\n" + head)
		for _, table := range r.Scale {
			table.write(&t)
		}
	}
	return t.String()
}

func (r *Report) barTable() Table {
	t := Table{Title: "Bars", Head: []string{"", "figure", "spread", "bar", "hope", "verdict"}}
	for _, b := range r.Bars {
		verdict := "not judged"
		if r.Judged {
			verdict = b.verdict()
		}
		t.Rows = append(t.Rows, []string{
			b.What, b.Unit.Show(b.Figure.Value), b.Unit.Spread(b.Figure), b.Must.in(b.Unit), b.hope(), verdict,
		})
	}
	return t
}

// Publish prints the report, and writes RESULTS.md and plot.svg into dir unless that is empty.
func (r *Report) Publish(dir string) error {
	text := r.text(time.Now())
	fmt.Print(text)
	if dir == "" {
		return nil
	}
	path := filepath.Join(dir, "RESULTS.md")
	before, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.WriteFile(path, []byte(merge(string(before), text)), 0o644); err != nil {
		return err
	}
	if len(r.Curves) == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "plot.svg"), []byte(plot(r.Curves)), 0o644)
}

// merge keeps the part of the results, all but the scale or the scale, that is not measured anew.
func merge(before, text string) string {
	const heading = "\n" + ScaleTitle + "\n"
	oldMain, oldScale, _ := strings.Cut(before, heading)
	main, scale, _ := strings.Cut(text, heading)
	main = strings.TrimRight(cmp.Or(main, oldMain), "\n") + "\n"
	if scale = cmp.Or(scale, oldScale); scale != "" {
		main += heading + scale
	}
	return main
}
