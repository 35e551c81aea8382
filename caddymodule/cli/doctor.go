package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func doctorCommand() *cobra.Command {
	cmd := withDatabase(&cobra.Command{
		Use:   "doctor [flags]",
		Short: "Checks what the edge needs, and names the fix of what it finds",
		Long: `Checks that Postgres and Redis can be reached, their versions and clocks, that the
schema is this edge's, that the role may do what the edge does, and that changed
keys are heard of. It changes nothing: it asks Postgres to record a sale that
nothing attributes, which is refused.

The exit code is 0 where the edge would work.`,
		Args: cobra.NoArgs,
		RunE: doctor,
	})
	cmd.Flags().String("listen-url", "", "listen_dsn of the hoko block, if it has one (default: the database's connection string)")
	cmd.Flags().String("redis-url", "", "address of Redis (default: REDIS_URL)")
	return cmd
}

var errUnwell = errors.New("the edge would not work")

func doctor(cmd *cobra.Command, _ []string) error {
	dsn, err := databaseURL(cmd)
	if err != nil {
		return err
	}
	listenDSN, _ := cmd.Flags().GetString("listen-url")
	redis, _ := cmd.Flags().GetString("redis-url")
	if redis == "" {
		redis = os.Getenv("REDIS_URL")
	}
	ctx, cancel := interruptible(cmd)
	defer cancel()
	r := report{dsn: dsn, listenDSN: listenDSN, redis: redis}
	r.run(ctx)
	for _, f := range r.findings {
		fmt.Fprintln(cmd.OutOrStdout(), f)
	}
	if r.unwell() {
		return errUnwell
	}
	return nil
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

func (r *report) unwell() bool {
	for _, f := range r.findings {
		if f.severity == failure {
			return true
		}
	}
	return false
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

// tolerableSkew is what a clock may be off before anybody notices: keys expire
// by the edge's clock.
const tolerableSkew = 2 * time.Second

// clock compares a server's clock, read between before and now, with ours.
func (r *report) clock(about string, clock, before time.Time) {
	now := time.Now()
	skew := max(before.Sub(clock), clock.Sub(now))
	if skew > tolerableSkew {
		r.warn(about, fmt.Sprintf("its clock and this machine's are %s apart", skew.Round(time.Millisecond)),
			"let NTP set both; keys expire by the edge's clock, and limits refill by Redis's")
	}
}
