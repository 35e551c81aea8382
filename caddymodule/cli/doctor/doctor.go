// Package doctor checks what an edge needs, and names the fix of what it finds.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Options say where the edge would find what it needs.
type Options struct {
	DSN         string // of Postgres
	ListenDSN   string // listen_dsn, "" for none
	RedisURL    string
	RedisPrefix string // prefix of the redis block, "" for its default
	// ProbeKey names a key that is changed and restored, to hear of it; "" for none. It needs the
	// right to change keys.
	ProbeKey string
}

// Severity of a finding.
type Severity string

const (
	OK      Severity = "ok"
	Warning Severity = "warning" // the edge works, but not as well or as safely as it should
	Failure Severity = "failure" // the edge does not work, or revocation does not
)

// Finding is what one check has found.
type Finding struct {
	Severity Severity `json:"severity"`
	// About is what was checked, such as postgres or triggers.
	About string `json:"about"`
	Text  string `json:"text"`
	// Fix says what to do about it; "" if nothing is to be done.
	Fix string `json:"fix,omitempty"`
}

func (f Finding) String() string {
	label := map[Severity]string{OK: "ok  ", Warning: "warn", Failure: "FAIL"}[f.Severity]
	line := fmt.Sprintf("%s  %s: %s", label, f.About, f.Text)
	if f.Fix != "" {
		line += "\n      fix: " + f.Fix
	}
	return line
}

// Report is what all checks have found, in their order.
type Report struct {
	Failures int       `json:"failures"`
	Warnings int       `json:"warnings"`
	Findings []Finding `json:"findings"`
}

// Run runs all checks that can be run. Only a probed key is written to, and restored.
func Run(ctx context.Context, o Options) Report {
	c := checks{Options: o}
	c.run(ctx)
	return c.Report
}

// Write prints a line for each finding, and one for its fix.
func (r Report) Write(w io.Writer, onlyFaults bool) {
	for _, f := range r.Findings {
		if f.Severity != OK || !onlyFaults {
			fmt.Fprintln(w, f)
		}
	}
}

// Err returns an error if there is a failure, or, if strict, a warning.
func (r Report) Err(strict bool) error {
	switch {
	case r.Failures > 0:
		return errors.New("the edge would not work")
	case strict && r.Warnings > 0:
		return errors.New("there are warnings")
	}
	return nil
}

func (r *Report) add(f Finding) {
	if slices.Contains(r.Findings, f) {
		return
	}
	switch f.Severity {
	case Failure:
		r.Failures++
	case Warning:
		r.Warnings++
	}
	r.Findings = append(r.Findings, f)
}

func (r *Report) ok(about, format string, args ...any) {
	r.add(Finding{OK, about, fmt.Sprintf(format, args...), ""})
}

func (r *Report) warn(about, text, fix string) { r.add(Finding{Warning, about, text, fix}) }

func (r *Report) fail(about string, err error, fix string) {
	r.add(Finding{Failure, about, err.Error(), fix})
}

// patience of one question.
const patience = 5 * time.Second

// tolerableSkew is how far a clock may be off without a warning: keys expire by the edge's clock.
const tolerableSkew = 2 * time.Second

// clock compares a server's clock, read between before and now, with this machine's.
func (r *Report) clock(about string, clock, before time.Time) {
	now := time.Now()
	skew := max(before.Sub(clock), clock.Sub(now))
	if skew > tolerableSkew {
		r.warn(about, fmt.Sprintf("its clock and this machine's are %s apart", skew.Round(time.Millisecond)),
			"let NTP set both; keys expire by the edge's clock, and limits refill by Redis's")
	}
}
