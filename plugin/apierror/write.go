package apierror

import (
	"net/http"
	"strconv"
	"time"
)

// ContentType is that of every JSON answer of the edge.
const ContentType = "application/json; charset=utf-8"

// Reason names, in the Hoko-Reason header and the log, which member was wrong
// and why. ASCII, and never a value of the client's.
const Reason = "Hoko-Reason"

// Write answers e: its status, headers and body. Headers that the caller has set stay; a 503 gets a
// Retry-After where it has none. It does not read the request's body: see Refuse.
func Write(w http.ResponseWriter, e *Error) { write(w, e.Status, e.body) }

// WriteMissingScopes answers 403 and names the scopes that the key lacks, in
// the order in which the route names them. Scopes are ASCII letters.
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

// WriteRateLimitExceeded writes a 429. Body and Retry-After say when to retry, as RetryAfter rounds it.
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
	w.Write(body) // the client is gone if this fails, and its request is over either way
}
