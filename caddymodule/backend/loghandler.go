package backend

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/exp/zapslog"
)

// logHandler is the log handler of a backend. A config's log writers close with the config, which
// the backend may outlive. Records therefore go to the newest config that shares the backend or, if
// there is none, to Caddy's default log.
type logHandler struct {
	configHandlers *configHandlers
	derive         func(slog.Handler) slog.Handler // adds the logger's attributes and groups
}

// configHandlers holds the log handlers of the configs that share a backend.
type configHandlers struct {
	mu       sync.RWMutex
	handlers []*slog.Handler // oldest first
}

// ProcessLogger returns a logger for messages that belong to no config. They go to the log that is
// Caddy's default at the time of the message.
func ProcessLogger() *slog.Logger { return slog.New(newLogHandler()) }

func newLogHandler() logHandler {
	return logHandler{new(configHandlers), func(h slog.Handler) slog.Handler { return h }}
}

// add sends records to a config's handler until remove is called.
func (h *configHandlers) add(handler slog.Handler) (remove func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handlers = append(h.handlers, &handler)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.handlers = slices.DeleteFunc(h.handlers, func(other *slog.Handler) bool { return other == &handler })
	}
}

func (h *configHandlers) current() slog.Handler {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if n := len(h.handlers); n > 0 {
		return *h.handlers[n-1]
	}
	const never = slog.Level(127)
	return zapslog.NewHandler(caddy.Log().Core(), zapslog.WithName("hoko"), zapslog.AddStacktraceAt(never))
}

func (l logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return l.configHandlers.current().Enabled(ctx, level)
}

// Handle passes the record on without its context, from which Caddy would read a request's log
// fields while another goroutine may be adding some.
func (l logHandler) Handle(_ context.Context, record slog.Record) error {
	return l.derive(l.configHandlers.current()).Handle(context.Background(), record)
}

func (l logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{l.configHandlers, func(h slog.Handler) slog.Handler { return l.derive(h).WithAttrs(attrs) }}
}

func (l logHandler) WithGroup(name string) slog.Handler {
	return logHandler{l.configHandlers, func(h slog.Handler) slog.Handler { return l.derive(h).WithGroup(name) }}
}
