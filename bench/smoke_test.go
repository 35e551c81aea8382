package main

import (
	"context"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
)

// smokePatience ends a run that hangs. Nothing is asserted of how long it takes.
const smokePatience = 8 * time.Minute

// Every suite runs once, for an instant, with real servers and the real edge.
// Nothing is said of its figures: the test is that there are any.
func TestEverySuiteRunsAndReports(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), smokePatience)
	defer cancel()
	out := t.TempDir()
	binary := buildBench(ctx, t)
	cmd := exec.CommandContext(ctx, binary, "--smoke", "--out", out)
	// In good order, so that its servers are stopped and its files removed.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	results := read(t, filepath.Join(out, "RESULTS.md"))
	for _, text := range append(expectedRows(), "| not judged |", "\n"+report.ScaleTitle+"\n", "plot.svg") {
		if !strings.Contains(results, text) {
			t.Errorf("no %q in the results", text)
		}
	}
	for _, text := range append(secrets(t), "| ok |", "| short |", "NaN", "Inf") {
		if strings.Contains(results, text) {
			t.Errorf("%q in the results", text)
		}
	}
	svg := read(t, filepath.Join(out, "plot.svg"))
	if err := xml.Unmarshal([]byte(svg), new(struct{})); err != nil {
		t.Errorf("plot.svg: %v", err)
	}
	if got := strings.Count(svg, "<polyline"); got != 8 {
		t.Errorf("%d lines in the plot, want the edge, the ungrouped one, the service and pgbench, twice", got)
	}
	if t.Failed() {
		t.Logf("%s", said)
	}
}

// buildBench builds it as script/bench does; the edge it builds by itself.
func buildBench(ctx context.Context, t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bench")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-w -s", "-tags", stage.BuildTags, "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// expectedRows begin the rows that must be there, whatever their figures.
func expectedRows() (rows []string) {
	rows = []string{"sale/ungrouped", "sale/pgbench", "sale/service", "sale/service behind stock Caddy", "75 % of the peak",
		"Redis 1 ms away", "Postgres 1 ms away", "100 ", "100 rows", "apikey.CachedKey"}
	for _, kind := range []string{"with Idempotency-Key", "changed customers", "new customers", "one hot customer"} {
		rows = append(rows, "edge, "+kind, "pgbench, "+kind)
	}
	for _, name := range []string{"401 without a key", "401 of an unknown key", "remembered 429", "proxied page", "proxied API call with key and limit"} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
			rows = append(rows, name+", "+protocol+", edge", name+", "+protocol+", stock")
		}
	}
	for i, row := range rows {
		rows[i] = "| " + row
	}
	return append(rows, "Postgres's CPU a sale", "p50 of one client at a time", "memory with 100 cached keys")
}

// secrets are names of this machine, which nobody needs to know.
func secrets(t *testing.T) (all []string) {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return []string{host, here, os.TempDir()}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
