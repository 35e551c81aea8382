package apierror

import (
	"net/http"
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

// SetRetryAfter asks for a second's wait if the status is 503, unless Retry-After is set already.
func SetRetryAfter(h http.Header, status int) {
	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", "1")
	}
}
