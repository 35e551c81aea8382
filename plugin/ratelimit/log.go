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

// LogTo logs go-redis's own messages as warnings to logger, each format at most once in ten seconds
// and without passwords. go-redis has one logger per process, so LogTo affects all Limiters, and
// logger must outlive them. By default, or if logger is nil, the messages are discarded.
func LogTo(logger *slog.Logger) { messages.to.Store(logger) }

// messages becomes go-redis's logger when the first Limiter is made.
var messages = newMessageFilter()

// messageFilter throttles and redacts messages.
type messageFilter struct {
	once sync.Once // of install
	to   atomic.Pointer[slog.Logger]

	mu        sync.Mutex
	throttles map[string]*rate.Sometimes // by format, so that a common one does not hide a rare one
}

// maxFormats bounds the throttles. go-redis has about fifty formats.
const maxFormats = 200

func newMessageFilter() *messageFilter {
	return &messageFilter{throttles: map[string]*rate.Sometimes{}}
}

// throttle returns the throttle of a format; all formats beyond maxFormats share one.
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

// Printf implements go-redis's logging interface.
func (m *messageFilter) Printf(ctx context.Context, format string, args ...any) {
	logger := m.to.Load()
	if logger == nil {
		return
	}
	var due bool // so that the lock of rate.Sometimes is not held while logging
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

// secret matches text that may contain a password: a URL's user information, and the arguments that
// a server without AUTH or HELLO repeats in its error.
var secret = regexp.MustCompile(`(?s)://[^/\s]*@|with args beginning with.*`)

func redact(text string) string { return secret.ReplaceAllString(text, "[redacted]") }
