package apierror

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// NoStore keeps the response out of all caches: RFC 9111, section 5.2.2.5.
func NoStore(h http.Header) { h.Set("Cache-Control", "no-store") }

// Seconds returns d in whole seconds, rounded up.
func Seconds(d time.Duration) int64 {
	seconds := int64(d / time.Second)
	if d%time.Second > 0 {
		seconds++
	}
	return seconds
}

// RetryAfter returns the Seconds that a client which must wait for d is told to wait: at least 1.
func RetryAfter(d time.Duration) int64 { return max(1, Seconds(d)) }

// maxBacklog bounds the Retry-After of a 503, jitter included: a client should soon find out that the
// edge has caught up.
const maxBacklog = 30 * time.Second

// SetBacklog sets the Retry-After of a 503 whose request would have waited this long: 1 to 30 whole
// seconds, which exceed the wait by up to a quarter, or by up to two seconds, so that clients that
// were refused at the same time do not come back at the same time.
func SetBacklog(h http.Header, wait time.Duration) {
	wait = min(wait, maxBacklog*4/5)
	seconds := RetryAfter(wait + rand.N(max(wait/4, 2*time.Second)))
	h.Set("Retry-After", strconv.FormatInt(seconds, 10))
}

// SetRetryAfter sets the Retry-After of a 503 without a backlog, unless it is set already.
func SetRetryAfter(h http.Header, status int) {
	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		SetBacklog(h, 0)
	}
}
