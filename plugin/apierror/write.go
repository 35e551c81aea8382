package apierror

import (
	"net/http"
	"strconv"
	"time"
)

// ContentType is the Content-Type of every JSON response of the edge.
const ContentType = "application/json; charset=utf-8"

// HeaderReason is the header that says which member of a request is wrong and why. Its value is
// ASCII and never contains a value that the client sent.
const HeaderReason = "Hoko-Reason"

// Write writes e as the response: status, headers and body. A 503 gets a Retry-After unless the
// header is already set. Write does not read the request's body: see RespondEarly.
func Write(w http.ResponseWriter, e *Error) { write(w, e.Status, e.body) }

// WriteMissingScopes writes a 403 that lists the scopes that the key lacks, in the order given.
// Scopes must consist of ASCII letters.
func WriteMissingScopes(w http.ResponseWriter, missing []string) {
	body := append([]byte(nil), MissingScopes.body[:len(MissingScopes.body)-1]...)
	body = append(body, `,"missingScopes":[`...)
	for i, scope := range missing {
		if i > 0 {
			body = append(body, ',')
		}
		body = strconv.AppendQuote(body, scope)
	}
	write(w, MissingScopes.Status, append(body, `]}`...))
}

// WriteRateLimitExceeded writes a 429. Its body and its Retry-After contain RetryAfter(retryAfter).
func WriteRateLimitExceeded(w http.ResponseWriter, retryAfter time.Duration) {
	seconds := RetryAfter(retryAfter)
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	body := append(make([]byte, 0, 128), RateLimitExceeded.body[:len(RateLimitExceeded.body)-1]...)
	body = append(body, `,"retryAfter":`...)
	body = strconv.AppendInt(body, seconds, 10)
	write(w, RateLimitExceeded.Status, append(body, '}'))
}

func write(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	NoStore(h)
	SetRetryAfter(h, status)
	w.WriteHeader(status)
	w.Write(body) // fails only if the client is gone
}
