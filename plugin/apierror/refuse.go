package apierror

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// arrivalTime is what a body that is under way may take to come in before its refusal closes the connection.
	arrivalTime = 200 * time.Millisecond
	// arrivalBytes is the longest body that is read for the sake of the connection.
	arrivalBytes = 64 << 10
	// lingerTime and lingerBytes bound what is still taken from a client that sends on after the answer.
	lingerTime  = time.Second
	lingerBytes = 8 << 20
)

// Refuse lets write answer a request whose body nobody wants, so that the answer leaves at once
// although the body may not have arrived. write must write the whole answer. The connection lives
// where the body, of at most 64 KiB, has arrived or does so within 200 ms. Everywhere else, and
// where the client waits for a 100 Continue, it closes after the answer, gently: a client that is
// still sending can read the answer.
//
// net/http reads up to 256 KiB of a request's unread body before it sends anything, for as long as
// that takes. HTTP/2 and HTTP/3 end the stream instead and need no help.
func Refuse(w http.ResponseWriter, r *http.Request, write func()) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 {
		write()
		return
	}
	rc := http.NewResponseController(w)
	if bodyArrives(rc, r) {
		write()
		return
	}
	w.Header().Set("Connection", "close")
	closeGently(w)
	write()
	if rc.Flush() == nil {
		linger(rc, r.Body)
	}
}

// bodyArrives reads what is left of a short body and reports whether the
// connection can serve the next request.
func bodyArrives(rc *http.ResponseController, r *http.Request) bool {
	expectsContinue := r.Header.Get("Expect") != "" // the first read would send it
	if expectsContinue || r.ContentLength > arrivalBytes {
		return false
	}
	if rc.SetReadDeadline(time.Now().Add(arrivalTime)) != nil {
		return false
	}
	_, err := io.CopyN(io.Discard, r.Body, arrivalBytes+1)
	if !errors.Is(err, io.EOF) || rc.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	// A deadline that passes, this one or an earlier one, cancels the context of all of the connection's requests.
	return r.Context().Err() == nil
}

// closeGently makes net/http close this connection in two steps, the writing side half a second
// before the rest: closing it under a client that still sends resets it, and the reset may overtake
// the answer. It does so of its own accord where its request's body was left unread, but sees that
// only where neither the body nor the writer is wrapped; what it is told here, by way of a body
// that is over its limit, it believes from under any wrapper.
func closeGently(w http.ResponseWriter) {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = wrapper.Unwrap()
	}
	overLimit := http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0)
	_, _ = overLimit.Read(make([]byte, 1)) // its error is the point
}

// linger takes what the client still sends, for a client that reads no answer
// before it has sent everything.
func linger(rc *http.ResponseController, body io.Reader) {
	if rc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, body, lingerBytes) // the connection closes whatever comes
}
