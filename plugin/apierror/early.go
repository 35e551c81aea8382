package apierror

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// arrivalTime and arrivalBytes limit how much of a body is read to keep the connection.
	arrivalTime  = 200 * time.Millisecond
	arrivalBytes = 64 << 10
	// lingerTime and lingerBytes limit how much is read after the response.
	lingerTime  = time.Second
	lingerBytes = 8 << 20
)

// RespondEarly answers a request whose body is not needed, and waits for that body for at most 200
// ms. It calls write, which must write the whole response. The connection stays open if the body
// has at most 64 KiB and arrives in time, unless the client expects a 100 Continue. Otherwise, it
// closes after the response. RespondEarly then reads up to 8 MiB for at most a second, so that a
// client that is still sending can read the response.
//
// Without RespondEarly, net/http reads up to 256 KiB of an unread body before it sends a response,
// no matter how long that takes. HTTP/2 and HTTP/3 end the stream instead and need no help.
func RespondEarly(w http.ResponseWriter, r *http.Request, write func()) {
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

// bodyArrives reads the rest of a short body and reports whether the connection can serve another
// request.
func bodyArrives(rc *http.ResponseController, r *http.Request) bool {
	expectsContinue := r.Header.Get("Expect") != "" // the first read would send the 100
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
	// A deadline that passes, even an earlier one, cancels the context of every later request of
	// the connection.
	return r.Context().Err() == nil
}

// closeGently makes net/http close the writing side of the connection half a second before the
// rest. A full close while the client is still sending resets the connection, and the client may
// see the reset before the response. net/http closes gently by itself if the body is unread, but
// does not recognize wrapped bodies and writers. A MaxBytesReader over its limit makes it do so for
// the innermost writer.
func closeGently(w http.ResponseWriter) {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = wrapper.Unwrap()
	}
	overLimit := http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0)
	_, _ = overLimit.Read(make([]byte, 1)) // exceeds the limit
}

// linger reads what the client still sends, because some clients send everything before they read.
func linger(rc *http.ResponseController, body io.Reader) {
	if rc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, body, lingerBytes) // the connection closes either way
}
