package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

func doctorCommand() *cobra.Command {
	cmd := onDatabase(&cobra.Command{
		Use:   "doctor [flags]",
		Short: "Checks what the edge needs, and names the fix of what it finds",
		Long: `Checks that Postgres and Redis can be reached, their versions and clocks, that the
schema is this edge's, that the role may do what the edge does, and that changed
keys are heard of. It changes nothing: the sales that it has Postgres record are
rolled back, with what triggers did for them.

The exit code is 0 if the edge would work.`,
	}, doctor)
	cmd.Flags().String("listen-url", "", "listen_dsn of the hoko block, if it has one (default: the database's connection string)")
	cmd.Flags().String("redis-url", "", "address of Redis (default: REDIS_URL)")
	return cmd
}

func doctor(ctx context.Context, cmd *cobra.Command, dsn string) error {
	r := report{
		dsn:       dsn,
		listenDSN: text(cmd, "listen-url"),
		redis:     cmp.Or(text(cmd, "redis-url"), os.Getenv("REDIS_URL")),
	}
	r.run(ctx)
	r.write(cmd.OutOrStdout(), false)
	return r.err()
}

// severity of a finding.
type severity string

const (
	well    severity = "ok  "
	warning severity = "warn"
	failure severity = "FAIL"
)

// finding is one line of the report.
type finding struct {
	severity severity
	about    string
	text     string
	fix      string
}

func (f finding) String() string {
	line := fmt.Sprintf("%s  %s: %s", f.severity, f.about, f.text)
	if f.fix != "" {
		line += "\n      fix: " + f.fix
	}
	return line
}

// report of what an edge with these addresses would find.
type report struct {
	dsn, listenDSN, redis string
	findings              []finding
}

func (r *report) run(ctx context.Context) {
	reachable := r.postgres(ctx)
	if reachable && r.schema(ctx) {
		r.sales(ctx)
		r.keys(ctx)
	}
	if reachable || r.listenDSN != "" {
		r.listener(ctx)
	}
	r.limits(ctx)
}

// write prints a line for each finding.
func (r *report) write(w io.Writer, onlyFaults bool) {
	for _, f := range r.findings {
		if f.severity != well || !onlyFaults {
			fmt.Fprintln(w, f)
		}
	}
}

// err returns an error if a finding is a failure.
func (r *report) err() error {
	if slices.ContainsFunc(r.findings, func(f finding) bool { return f.severity == failure }) {
		return errors.New("the edge would not work")
	}
	return nil
}

func (r *report) ok(about, format string, args ...any) {
	r.findings = append(r.findings, finding{well, about, fmt.Sprintf(format, args...), ""})
}

func (r *report) warn(about, text, fix string) {
	r.findings = append(r.findings, finding{warning, about, text, fix})
}

func (r *report) fail(about string, err error, fix string) {
	r.findings = append(r.findings, finding{failure, about, err.Error(), fix})
}

// patience of one question.
const patience = 5 * time.Second

// tolerableSkew is how far a clock may be off without a warning: keys expire by the edge's clock.
const tolerableSkew = 2 * time.Second

// clock compares a server's clock, read between before and now, with this machine's.
func (r *report) clock(about string, clock, before time.Time) {
	now := time.Now()
	skew := max(before.Sub(clock), clock.Sub(now))
	if skew > tolerableSkew {
		r.warn(about, fmt.Sprintf("its clock and this machine's are %s apart", skew.Round(time.Millisecond)),
			"let NTP set both; keys expire by the edge's clock, and limits refill by Redis's")
	}
}
