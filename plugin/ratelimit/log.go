package ratelimit

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"
)

// LogTo sends what go-redis itself reports to logger, as warnings, at most one in ten seconds. go-redis
// has one logger per process, so this holds for all Limiters, before and after; logger must outlive them.
// Without it, or with nil, the messages are discarded. They never reach standard error.
func LogTo(logger *slog.Logger) { messages.to.Store(logger) }

// messages is go-redis's logger from the first Limiter on.
var messages = newMessageFilter()

// messageFilter passes messages on, rarely and without passwords.
type messageFilter struct {
	once     sync.Once
	to       atomic.Pointer[slog.Logger]
	throttle rate.Sometimes
}

func newMessageFilter() *messageFilter {
	return &messageFilter{throttle: rate.Sometimes{Interval: 10 * time.Second}}
}

func (m *messageFilter) install() { m.once.Do(func() { redis.SetLogger(m) }) }

// Printf is what go-redis calls.
func (m *messageFilter) Printf(ctx context.Context, format string, args ...any) {
	logger := m.to.Load()
	if logger == nil {
		return
	}
	var due bool
	m.throttle.Do(func() { due = true })
	if due {
		logger.WarnContext(ctx, "redis client", slog.String("message", redact(fmt.Sprintf(format, args...))))
	}
}

// secret finds what may hold a password: a URL's user information, and the arguments that a server without
// AUTH or HELLO repeats in its error.
var secret = regexp.MustCompile(`(?s)://[^/\s]*@|with args beginning with.*`)

func redact(text string) string { return secret.ReplaceAllString(text, "[redacted]") }
