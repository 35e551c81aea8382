// Package doctor checks an edge's configuration and the servers that it would use, and suggests
// fixes. docs/operations.md lists the checks.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"hoko.to/edge/caddymodule/cli/command"
)

// Options names the servers to check. If DSN or RedisURL is empty, Run reports a failure.
type Options struct {
	DSN         string // connection string of Postgres
	ListenDSN   string // listen_dsn of the hoko block; empty for DSN
	RedisURL    string
	RedisPrefix string // prefix of the redis block; empty for its default
	// RedisTimeout, MaxConns and Writers are those of the hoko block; zero for their defaults.
	RedisTimeout      time.Duration
	MaxConns, Writers int
	Edges             int // edges that share Postgres; zero for one
	// Config is the edge's configuration. If it is nil, Run checks the servers only.
	Config *Config
	// ProbeKey is the ID or the first characters of a key that Run changes and restores, to check
	// that the changes are announced. The role of DSN must be able to change keys. Empty for none.
	ProbeKey string
}

// Severity says how serious a Finding is.
type Severity string

// The severities of findings.
const (
	OK      Severity = "ok"
	Warning Severity = "warning" // the edge works, but not as well or as safely as it should
	Failure Severity = "failure" // the edge or the revocation of keys does not work
)

// Finding is one result of a check.
type Finding struct {
	Severity Severity `json:"severity"`
	About    string   `json:"about"` // what was checked, such as postgres or triggers
	Text     string   `json:"text"`
	Fix      string   `json:"fix,omitempty"` // what to do; empty if nothing
}

// String returns the finding as a line, and its fix as a second one.
func (f Finding) String() string {
	label := map[Severity]string{OK: "ok  ", Warning: "warn", Failure: "FAIL"}[f.Severity]
	line := fmt.Sprintf("%s  %s: %s", label, f.About, f.Text)
	if f.Fix != "" {
		line += "\n      fix: " + f.Fix
	}
	return line
}

// Report holds the findings of all checks, in order, and counts them.
type Report struct {
	Failures int       `json:"failures"`
	Warnings int       `json:"warnings"`
	Findings []Finding `json:"findings"`
}

// Run runs all checks, except those that an earlier failure makes impossible. It leaves no changes
// behind: it rolls back test sales and restores ProbeKey.
func Run(ctx context.Context, o Options) Report {
	c := checks{Options: o}
	c.run(ctx)
	return c.Report
}

// labelChars is the length of the label with which a finding's line begins.
const labelChars = len("FAIL")

var colors = map[Severity]command.Color{OK: command.Green, Warning: command.Yellow, Failure: command.Red}

// Write prints the findings, with colored labels on a terminal; if onlyProblems is true, only
// failures and warnings.
func (r Report) Write(w io.Writer, onlyProblems bool) {
	for _, f := range r.Findings {
		if f.Severity != OK || !onlyProblems {
			line := f.String()
			fmt.Fprintln(w, command.Paint(w, colors[f.Severity], line[:labelChars])+line[labelChars:])
		}
	}
}

// Err returns an error if there is a failure, or if strict is true and there is a warning.
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

// checkTimeout bounds one check.
const checkTimeout = 5 * time.Second

// maxClockSkew is how far two clocks may differ without a warning.
const maxClockSkew = 2 * time.Second

// compareClocks warns if clock, which a server has returned since before, is not this machine's.
// name is a prefix of the text, which names the server if there are several.
func (r *Report) compareClocks(about, name string, clock, before time.Time) {
	now := time.Now()
	skew := max(before.Sub(clock), clock.Sub(now))
	if skew > maxClockSkew {
		r.warn(about, name+fmt.Sprintf("its clock and this machine's are %s apart", skew.Round(time.Millisecond)),
			"synchronize both with NTP; keys expire by the edge's clock, and limits refill by Redis's")
	}
}
