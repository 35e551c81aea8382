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

// maxBody is the max size of a request's body, in bytes.
const maxBody = 64 << 10

// bodies pools buffers for the bodies of requests and responses.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func freeBody(body *bytes.Buffer) {
	if body.Cap() > maxPooled {
		return
	}
	body.Reset()
	bodies.Put(body)
}

// readBody reads the whole body, of at most maxBody bytes, within the body timeout. It rejects a
// larger declared length without reading.
func (h *Handler) readBody(body *bytes.Buffer, w http.ResponseWriter, r *http.Request) *rejection {
	if r.ContentLength > maxBody {
		return &rejection{err: apierror.BodyTooLarge, cause: causeTooLarge}
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(h.bodyTimeout)) // fails only for a writer without deadlines, as in tests
	_, err := body.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	_, overLimit := errors.AsType[*http.MaxBytesError](err) // a middleware's lower limit
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &rejection{err: apierror.RequestTimeout, cause: causeTimeout}
	case overLimit, err == nil && body.Len() > maxBody:
		return &rejection{err: apierror.BodyTooLarge, cause: causeTooLarge}
	case err != nil:
		reason := invalid(wholeBody, "could not be read").Error()
		return &rejection{err: apierror.InvalidRequest, cause: causeAborted, reason: reason}
	}
	_ = rc.SetReadDeadline(time.Time{}) // for the connection's next request
	return nil
}

// isIdentity reports whether all codings in Content-Encoding are identity, in any letter case.
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
