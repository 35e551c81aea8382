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

// LogTo sends what go-redis itself reports to logger, as warnings, each at most once in ten seconds. go-redis
// has one logger per process, so this holds for all Limiters, before and after; logger must outlive them.
// Without it, or with nil, the messages are discarded. They never reach standard error.
func LogTo(logger *slog.Logger) { messages.to.Store(logger) }

// messages is go-redis's logger from the first Limiter on.
var messages = newMessageFilter()

// messageFilter passes messages on, rarely and without passwords.
type messageFilter struct {
	once sync.Once
	to   atomic.Pointer[slog.Logger]

	mu        sync.Mutex
	throttles map[string]*rate.Sometimes // by format, so that what is common does not hide what is rare
}

// maxFormats bounds the throttles. go-redis has some fifty formats.
const maxFormats = 200

func newMessageFilter() *messageFilter {
	return &messageFilter{throttles: map[string]*rate.Sometimes{}}
}

// throttle returns the one of a format.
func (m *messageFilter) throttle(format string) *rate.Sometimes {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.throttles) == maxFormats && m.throttles[format] == nil {
		format = ""
	}
	if m.throttles[format] == nil {
		m.throttles[format] = &rate.Sometimes{Interval: 10 * time.Second}
	}
	return m.throttles[format]
}

func (m *messageFilter) install() { m.once.Do(func() { redis.SetLogger(m) }) }

// Printf is what go-redis calls.
func (m *messageFilter) Printf(ctx context.Context, format string, args ...any) {
	logger := m.to.Load()
	if logger == nil {
		return
	}
	var due bool // not logged under the throttle's lock
	m.throttle(format).Do(func() { due = true })
	if due {
		for i, arg := range args {
			if err, ok := arg.(error); ok {
				args[i] = describe(err)
			}
		}
		logger.WarnContext(ctx, "redis client", slog.String("message", redact(fmt.Sprintf(format, args...))))
	}
}

// secret finds what may hold a password: a URL's user information, and the arguments that a server without
// AUTH or HELLO repeats in its error.
var secret = regexp.MustCompile(`(?s)://[^/\s]*@|with args beginning with.*`)

func redact(text string) string { return secret.ReplaceAllString(text, "[redacted]") }
