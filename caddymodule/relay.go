package caddymodule

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/exp/zapslog"
)

// relay is a backend's log handler. A backend outlives the config that made it,
// while a config's log writers close with it, so records go to the config that
// took its share last and still has it; where none has, to Caddy's own log.
type relay struct {
	holders *holders
	derive  func(slog.Handler) slog.Handler // adds the logger's attributes and groups
}

// holders are the log handlers of the configs that have a share in a backend.
type holders struct {
	mu       sync.RWMutex
	handlers []*slog.Handler // the latest last
}

func newRelay() relay {
	return relay{new(holders), func(h slog.Handler) slog.Handler { return h }}
}

// add lets a config's handler have the records until it calls the returned function.
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
func (r relay) Enabled(ctx context.Context, level slog.Level) bool {
	return r.holders.current().Enabled(ctx, level)
}

// Handle passes the record on. The context stays behind: a backend works for
// many requests at once, and Caddy would read the log fields of one of them
// while its handler still adds some.
func (r relay) Handle(_ context.Context, record slog.Record) error {
	return r.derive(r.holders.current()).Handle(context.Background(), record)
}

// WithAttrs returns a relay whose records have these attributes.
func (r relay) WithAttrs(attrs []slog.Attr) slog.Handler {
	return relay{r.holders, func(h slog.Handler) slog.Handler { return r.derive(h).WithAttrs(attrs) }}
}

// WithGroup returns a relay whose records are in this group.
func (r relay) WithGroup(name string) slog.Handler {
	return relay{r.holders, func(h slog.Handler) slog.Handler { return r.derive(h).WithGroup(name) }}
}
