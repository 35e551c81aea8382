package apierror

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// NoStore sets Cache-Control: no-store, which keeps the response out of caches (RFC 9111, 5.2.2.5).
func NoStore(h http.Header) { h.Set("Cache-Control", "no-store") }

// Seconds returns d in whole seconds, rounded up.
func Seconds(d time.Duration) int64 {
	seconds := int64(d / time.Second)
	if d%time.Second > 0 {
		seconds++
	}
	return seconds
}

// RetryAfter returns the value of Retry-After for a wait of d: Seconds(d), but at least 1.
func RetryAfter(d time.Duration) int64 { return max(1, Seconds(d)) }

// maxExpectedWait is the max Retry-After of a 503, jitter included. Clients should notice soon that
// the edge has caught up.
const maxExpectedWait = 30 * time.Second

// SetExpectedWait sets the Retry-After of a 503 to the expected wait plus jitter, in whole seconds
// from 1 to 30. The jitter is at most a quarter of the wait or two seconds, whichever is longer. It
// keeps clients that were rejected at the same time from retrying at the same time.
func SetExpectedWait(h http.Header, wait time.Duration) {
	wait = min(wait, maxExpectedWait*4/5)
	seconds := RetryAfter(wait + rand.N(max(wait/4, 2*time.Second)))
	h.Set("Retry-After", strconv.FormatInt(seconds, 10))
}

// SetRetryAfter sets the Retry-After of a 503 as SetExpectedWait does for a wait of 0, unless the
// header is already set. It ignores other statuses.
func SetRetryAfter(h http.Header, status int) {
	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		SetExpectedWait(h, 0)
	}
}
