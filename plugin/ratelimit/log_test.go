package ratelimit

import (
	"context"
	"log/slog"
	"sync"
	"testing"
)

// journal keeps what is logged, and lets a test wait for a line.
type journal struct {
	mu    sync.Mutex
	lines []string
	heard chan struct{} // closed and replaced with each line
}

func newJournal() *journal { return &journal{heard: make(chan struct{})} }

func (j *journal) logger() *slog.Logger { return slog.New(j) }

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
	close(j.heard)
	j.heard = make(chan struct{})
	return nil
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

// await returns when n lines have been logged.
func (j *journal) await(t testing.TB, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		j.mu.Lock()
		lines, heard := j.lines, j.heard
		j.mu.Unlock()
		if len(lines) >= n {
			return lines
		}
		select {
		case <-heard:
		case <-ctx.Done():
			t.Fatalf("waited for %d lines, got %q", n, lines)
		}
	}
}
