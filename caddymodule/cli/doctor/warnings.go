package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// warnings is an slog.Handler that collects the warnings that an edge would log. It is safe for
// concurrent use.
type warnings struct {
	mu     sync.Mutex
	logged []*warning // in order, each message once
}

// warning is the first record with its message.
type warning struct {
	message, text, fix string
	more               int // further records with this message
}

// report adds a finding for each message.
func (w *warnings) report(r *Report, about string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, logged := range w.logged {
		if logged.more > 0 {
			logged.text += fmt.Sprintf(" (and %d more)", logged.more)
		}
		r.warn(about, logged.text, logged.fix)
	}
}

// Enabled reports whether level is a warning. Errors are also returned, so the report has them.
func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level == slog.LevelWarn }

// Handle collects a warning. Its attribute remedy becomes the fix.
func (w *warnings) Handle(_ context.Context, record slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(record.Message, "the database schema is ") {
		return nil // the check of the schema has reported its version
	}
	same := func(logged *warning) bool { return logged.message == record.Message }
	if i := slices.IndexFunc(w.logged, same); i >= 0 {
		w.logged[i].more++
		return nil
	}
	first := &warning{message: record.Message, text: record.Message}
	var details []string
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "remedy" {
			first.fix = a.Value.String()
		} else {
			details = append(details, a.String())
		}
		return true
	})
	if len(details) > 0 {
		first.text += ": " + strings.Join(details, ", ")
	}
	w.logged = append(w.logged, first)
	return nil
}

// WithAttrs returns w, because the stores add no attributes to their loggers.
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup returns w, because the stores use no groups.
func (w *warnings) WithGroup(string) slog.Handler { return w }
