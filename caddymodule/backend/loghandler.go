package backend

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/exp/zapslog"
)

// logHandler is a backend's log handler. A backend outlives the config that created it, but the log
// writers of a config close with it. Records therefore go to the newest config that still shares
// the backend, and to Caddy's own log if there is none.
type logHandler struct {
	holders *holders
	derive  func(slog.Handler) slog.Handler // adds the logger's attributes and groups
}

// holders are the log handlers of the configs that share a backend.
type holders struct {
	mu       sync.RWMutex
	handlers []*slog.Handler // the latest last
}

// ProcessLogger returns a logger for what belongs to the process and to no config. It writes to the
// log that is Caddy's own at the time of the message.
func ProcessLogger() *slog.Logger { return slog.New(newLogHandler()) }

func newLogHandler() logHandler {
	return logHandler{new(holders), func(h slog.Handler) slog.Handler { return h }}
}

// add sends the records to a config's handler until the returned function is called.
func (h *holders) add(handler slog.Handler) (remove func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handlers = append(h.handlers, &handler)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.handlers = slices.DeleteFunc(h.handlers, func(held *slog.Handler) bool { return held == &handler })
	}
}

func (h *holders) current() slog.Handler {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if n := len(h.handlers); n > 0 {
		return *h.handlers[n-1]
	}
	const never = slog.Level(127)
	return zapslog.NewHandler(caddy.Log().Core(), zapslog.WithName("hoko"), zapslog.AddStacktraceAt(never))
}

// Enabled reports whether the record would be written.
func (l logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return l.holders.current().Enabled(ctx, level)
}

// Handle passes the record on without its context. A backend works for many requests at the same
// time, and Caddy would read the log fields of one of them while its handler still adds some.
func (l logHandler) Handle(_ context.Context, record slog.Record) error {
	return l.derive(l.holders.current()).Handle(context.Background(), record)
}

// WithAttrs returns a handler whose records have these attributes.
func (l logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{l.holders, func(h slog.Handler) slog.Handler { return l.derive(h).WithAttrs(attrs) }}
}

// WithGroup returns a handler whose records are in this group.
func (l logHandler) WithGroup(name string) slog.Handler {
	return logHandler{l.holders, func(h slog.Handler) slog.Handler { return l.derive(h).WithGroup(name) }}
}
