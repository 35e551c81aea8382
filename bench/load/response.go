package load

import (
	"bytes"
	"errors"
	"io"
	"strconv"
)

var (
	errGarbage = errors.New("not an HTTP/1.1 response")
	errLong    = errors.New("a line of the response is too long")
	errExcess  = errors.New("bytes after the response")
)

const longestLine = 16 << 10

// responseReader reads the responses on one connection and discards everything but the status.
type responseReader struct {
	from io.Reader
	buf  [longestLine]byte
	r, w int // buf[r:w] is read but not consumed
}

// response holds the parts of a response's head that matter to the reader.
type response struct {
	status  int
	length  int64 // -1 if absent
	chunked bool
	close   bool // the connection cannot be reused
}

// next reads one response to its end; head means that it answers a HEAD request and has no body.
// The error is io.EOF only if the connection ended before the first byte.
func (a *responseReader) next(head bool) (response, error) {
	if a.r == a.w {
		if err := a.fill(); err != nil {
			return response{}, err
		}
	}
	got, err := a.final()
	if err == nil && !head && got.status != 204 && got.status != 304 {
		err = a.body(&got)
	}
	switch {
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	case err == nil && a.r != a.w:
		err = errExcess
	}
	return got, err
}

// final returns the head of the first response that is not informational (1xx).
func (a *responseReader) final() (response, error) {
	for {
		got, err := a.head()
		if err == nil && got.status == 101 {
			err = errGarbage
		}
		if err != nil || got.status >= 200 {
			return got, err
		}
	}
}

func (a *responseReader) head() (response, error) {
	got := response{length: -1}
	line, err := a.line()
	if err != nil {
		return got, err
	}
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1."))
	if !ok || len(rest) < 5 || rest[1] != ' ' || len(rest) > 5 && rest[5] != ' ' {
		return got, errGarbage
	}
	status, ok := number(rest[2:5], 10)
	if !ok || status < 100 {
		return got, errGarbage
	}
	got.close, got.status = rest[0] == '0', int(status)
	for {
		line, err := a.line()
		if err != nil || len(line) == 0 {
			return got, err
		}
		if err := got.field(line); err != nil {
			return got, err
		}
	}
}

func (got *response) field(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || len(name) == 0 {
		return errGarbage
	}
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, ok := number(value, 10)
		if !ok || got.length >= 0 && got.length != n {
			return errGarbage
		}
		got.length = n
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if !bytes.EqualFold(value, []byte("chunked")) {
			return errGarbage
		}
		got.chunked = true
	case bytes.EqualFold(name, []byte("Connection")):
		for more := true; more; {
			var token []byte
			token, value, more = bytes.Cut(value, []byte(","))
			got.close = got.close || bytes.EqualFold(bytes.TrimSpace(token), []byte("close"))
		}
	}
	return nil
}

func (a *responseReader) body(got *response) error {
	switch {
	case got.chunked:
		return a.chunks()
	case got.length >= 0:
		return a.skip(got.length)
	}
	got.close = true
	for {
		a.r = a.w
		if err := a.fill(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (a *responseReader) chunks() error {
	for {
		line, err := a.line()
		if err != nil {
			return err
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, ok := number(bytes.TrimSpace(size), 16)
		if !ok {
			return errGarbage
		}
		if n == 0 {
			return a.trailer()
		}
		if err := a.skip(n); err != nil {
			return err
		}
		if line, err = a.line(); err != nil {
			return err
		}
		if len(line) != 0 {
			return errGarbage
		}
	}
}

func (a *responseReader) trailer() error {
	for {
		if line, err := a.line(); err != nil || len(line) == 0 {
			return err
		}
	}
}

func (a *responseReader) skip(n int64) error {
	for {
		have := min(n, int64(a.w-a.r))
		a.r += int(have)
		if n -= have; n == 0 {
			return nil
		}
		if err := a.fill(); err != nil {
			return err
		}
	}
}

// line returns the next line without its end. It is valid until the next call.
func (a *responseReader) line() ([]byte, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(a.buf[a.r+seen:a.w], '\n'); i >= 0 {
			line := a.buf[a.r : a.r+seen+i]
			a.r += seen + i + 1
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		seen = a.w - a.r
		if err := a.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more bytes and keeps those that are not consumed.
func (a *responseReader) fill() error {
	switch {
	case a.r == a.w:
		a.r, a.w = 0, 0
	case a.w == len(a.buf):
		a.w = copy(a.buf[:], a.buf[a.r:])
		a.r = 0
	}
	if a.w == len(a.buf) {
		return errLong
	}
	n, err := a.from.Read(a.buf[a.w:])
	a.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// number parses digits without a sign.
func number(digits []byte, base int) (int64, bool) {
	n, err := strconv.ParseUint(string(digits), base, 62)
	return int64(n), err == nil
}
