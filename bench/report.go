package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// report is what a run has found.
type report struct {
	machine  string
	versions string
	settings string
	mode     mode
	bars     []bar
	tables   []table
	curves   []curve
	scale    []table // apart, as it is measured apart
}

// scaleTitle heads what --scale adds to the results; other runs keep it.
const scaleTitle = "# Scale"

// text is the report in Markdown.
func (r *report) text(now time.Time) string {
	var t strings.Builder
	if len(r.bars)+len(r.tables) > 0 {
		t.WriteString("# Results\n\nWritten by `script/bench`; [README.md](README.md) says what each row means.\n\n")
		r.writeHead(&t, now)
		if len(r.curves) > 0 {
			t.WriteString("\n![Sales a second and p99 over connections](plot.svg)\n")
		}
		if len(r.bars) > 0 {
			r.barTable().write(&t)
		}
		for _, table := range r.tables {
			table.write(&t)
		}
	}
	if len(r.scale) > 0 {
		fmt.Fprintf(&t, "\n%s\n\n", scaleTitle)
		r.writeHead(&t, now)
		for _, table := range r.scale {
			table.write(&t)
		}
	}
	return t.String()
}

func (r *report) writeHead(t *strings.Builder, now time.Time) {
	fmt.Fprintf(t, "- %s, %s\n- %s\n- %s\n- %s\n", now.UTC().Format("2006-01-02 15:04 UTC"), r.mode.describe(), r.machine, r.versions, r.settings)
}

func (r *report) barTable() table {
	t := table{title: "Bars", head: []string{"", "figure", "spread", "bar", "hope", "verdict"}}
	for _, b := range r.bars {
		verdict := "not judged"
		if r.mode.judged {
			verdict = b.verdict()
		}
		t.rows = append(t.rows, []string{b.what, b.unit.show(b.figure.value), b.unit.spread(b.figure), b.must.in(b.unit), b.hope(), verdict})
	}
	return t
}

// publish prints the report and writes it where --out says.
func (b *bench) publish() error {
	text := b.report.text(time.Now())
	fmt.Print(text)
	if b.options.out == "" {
		return nil
	}
	path := filepath.Join(b.options.out, "RESULTS.md")
	before, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.WriteFile(path, []byte(merge(string(before), text)), 0o644); err != nil {
		return err
	}
	if len(b.report.curves) == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(b.options.out, "plot.svg"), []byte(plot(b.report.curves)), 0o644)
}

// merge keeps that part of the results, all but the scale or the scale, which is not measured anew.
func merge(before, text string) string {
	main, scale := cutScale(text)
	oldMain, oldScale := cutScale(before)
	if main == "" {
		main = oldMain
	}
	if scale == "" {
		scale = oldScale
	}
	return strings.TrimRight(main, "\n") + "\n" + scale
}

func cutScale(text string) (main, scale string) {
	i := strings.Index(text, "\n"+scaleTitle+"\n")
	if i < 0 {
		return text, ""
	}
	return text[:i], text[i:]
}
