package main

import (
	"context"
	"encoding/xml"
	"errors"
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

// TestSmoke_EverySuiteReports runs every suite for an instant with real servers and a real edge. It
// checks that there are figures, not their values.
func TestSmoke_EverySuiteReports(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // ends a run that hangs
	defer cancel()
	out := t.TempDir()
	binary := buildBench(ctx, t)
	cmd := exec.CommandContext(ctx, binary, "--smoke", "--out", out)
	// On SIGTERM, bench stops its servers and removes its files.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	results := read(t, filepath.Join(out, "RESULTS.md"))
	for _, text := range append(expectedRows(), "| not judged |", "\n"+report.ScaleTitle+"\n", "plot.svg") {
		if !strings.Contains(results, text) {
			t.Errorf("RESULTS.md: want %q", text)
		}
	}
	for _, text := range append(secrets(t), "| met |", "| missed |", "NaN", "Inf") {
		if strings.Contains(results, text) {
			t.Errorf("RESULTS.md: want no %q", text)
		}
	}
	svg := read(t, filepath.Join(out, "plot.svg"))
	if err := xml.Unmarshal([]byte(svg), new(struct{})); err != nil {
		t.Errorf("plot.svg: %v", err)
	}
	if got := strings.Count(svg, "<polyline"); got != 8 {
		t.Errorf("plot.svg: %d lines, want 2 each for the edge with and without group commit, pgbench and service", got)
	}
	if t.Failed() {
		t.Logf("%s", output)
	}
}

// buildBench builds bench as script/bench does.
func buildBench(ctx context.Context, t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bench")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-w -s", "-tags", stage.BuildTags,
		"-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// expectedRows returns the beginnings of rows that RESULTS.md must contain.
func expectedRows() (rows []string) {
	rows = []string{"edge without group commit", "pgbench ", "service ", "service behind stock Caddy",
		"75 % of the peak", "a key for each connection", "one busy key",
		"Redis 1 ms away", "Postgres 1 ms away", "100 ", "100 rows", "apikey.CachedKey"}
	for _, kind := range []string{"with Idempotency-Key", "changed customers", "new customers", "one hot customer"} {
		rows = append(rows, "edge, "+kind, "pgbench, "+kind)
	}
	for _, name := range []string{"401 without a key", "401 for an unknown key", "429 for a remembered denial",
		"proxied page", "proxied API call with key and one limit", "proxied API call with key and three limits"} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
			rows = append(rows, name+", "+protocol+", edge", name+", "+protocol+", stock")
		}
	}
	for i, row := range rows {
		rows[i] = "| " + row
	}
	return append(rows, "Postgres CPU per sale", "p50 latency of a single connection", "memory with 100 cached keys",
		"Redis calls per sale with one busy key")
}

// secrets returns names of this machine, which must not be published.
func secrets(t *testing.T) []string {
	t.Helper()
	host, err := os.Hostname()
	dir, err2 := os.Getwd()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return []string{host, dir, os.TempDir()}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
