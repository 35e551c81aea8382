package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// warnings keeps the warnings that an edge would log, so that the report has all of them. It is
// safe for concurrent use.
type warnings struct {
	mu    sync.Mutex
	texts []string // in order, each message once
	of    map[string]*logged
}

// logged is a message: the first line of it, and how many more there were.
type logged struct {
	text, remedy string
	more         int
}

func newWarnings() *warnings { return &warnings{of: map[string]*logged{}} }

// report adds a finding for each message, and forgets it.
func (w *warnings) report(r *Report, about string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, message := range w.texts {
		l := w.of[message]
		if l.more > 0 {
			l.text += fmt.Sprintf(" (and %d more)", l.more)
		}
		r.warn(about, l.text, l.remedy)
	}
	w.texts, w.of = nil, map[string]*logged{}
}

// Enabled admits warnings only: errors come back from what failed.
func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level == slog.LevelWarn }

// Handle keeps a warning. Its attribute remedy becomes the fix.
func (w *warnings) Handle(_ context.Context, record slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seen, ok := w.of[record.Message]; ok {
		seen.more++
		return nil
	}
	l := &logged{text: record.Message}
	var details []string
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "remedy" {
			l.remedy = a.Value.String()
		} else {
			details = append(details, a.String())
		}
		return true
	})
	if len(details) > 0 {
		l.text += ": " + strings.Join(details, ", ")
	}
	w.texts, w.of[record.Message] = append(w.texts, record.Message), l
	return nil
}

// WithAttrs returns the handler itself: the stores add none.
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup returns the handler itself.
func (w *warnings) WithGroup(string) slog.Handler { return w }
