package sale

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"hoko.to/edge/plugin/apierror"
)

// maxBody is the longest body that is read.
const maxBody = 64 << 10

// bodies lend their buffers from one request to the next.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func freeBody(body *bytes.Buffer) {
	if body.Cap() > maxLent {
		return
	}
	body.Reset()
	bodies.Put(body)
}

// readBody reads the whole body, of at most 64 KiB, within the body timeout. A
// length that is declared too long is refused unread.
func (h *Handler) readBody(body *bytes.Buffer, w http.ResponseWriter, r *http.Request) *refusal {
	if r.ContentLength > maxBody {
		return &refusal{err: apierror.BodyTooLarge, cause: causeTooLarge}
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(h.bodyTimeout)) // a writer without deadlines is a test's
	_, err := body.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	var tooLarge *http.MaxBytesError // where a middleware's bound is lower
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{err: apierror.RequestTimeout, cause: causeTimeout}
	case errors.As(err, &tooLarge), err == nil && body.Len() > maxBody:
		return &refusal{err: apierror.BodyTooLarge, cause: causeTooLarge}
	case err != nil:
		return &refusal{err: apierror.InvalidRequest, cause: causeAborted, reason: invalid(wholeBody, "could not be read").Error()}
	}
	_ = rc.SetReadDeadline(time.Time{}) // the connection lives on
	return nil
}

// isIdentity reports whether a body is sent as it is: the codings of all
// Content-Encoding lines are identity, in any case.
func isIdentity(contentEncoding []string) bool {
	for _, line := range contentEncoding {
		for coding := range strings.SplitSeq(line, ",") {
			coding = strings.TrimSpace(coding)
			if coding != "" && !strings.EqualFold(coding, "identity") {
				return false
			}
		}
	}
	return true
}
