package load

import (
	"bytes"
	"errors"
	"io"
)

var (
	errGarbage = errors.New("not an HTTP/1.1 answer")
	errLong    = errors.New("a line of the answer is too long")
	errUnasked = errors.New("bytes after the answer")
)

const longestLine = 16 << 10

// answers reads the answers on one connection and keeps nothing of them but
// the status.
type answers struct {
	from io.Reader
	buf  [longestLine]byte
	r, w int // what is read but not consumed is buf[r:w]
}

// answer is what the head of an answer says.
type answer struct {
	status  int
	length  int64 // -1: not said
	chunked bool
	close   bool // the connection is not used again
}

// next reads one answer to its end. To a HEAD request there is no body. The
// error is io.EOF only when the connection ended before any of the answer.
func (a *answers) next(head bool) (answer, error) {
	if a.r == a.w {
		if err := a.fill(); err != nil {
			return answer{}, err
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
		err = errUnasked
	}
	return got, err
}

// final is the head of the answer that follows any 100 Continue.
func (a *answers) final() (answer, error) {
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

func (a *answers) head() (answer, error) {
	got := answer{length: -1}
	line, err := a.line()
	if err != nil {
		return got, err
	}
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1."))
	if !ok || len(rest) < 5 || rest[1] != ' ' || len(rest) > 5 && rest[5] != ' ' {
		return got, errGarbage
	}
	got.close = rest[0] == '0'
	for _, c := range rest[2:5] {
		if c < '0' || c > '9' {
			return got, errGarbage
		}
		got.status = got.status*10 + int(c-'0')
	}
	if got.status < 100 {
		return got, errGarbage
	}
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

func (got *answer) field(line []byte) error {
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

func (a *answers) body(got *answer) error {
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

func (a *answers) chunks() error {
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

func (a *answers) trailer() error {
	for {
		if line, err := a.line(); err != nil || len(line) == 0 {
			return err
		}
	}
}

func (a *answers) skip(n int64) error {
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

// line is valid until the next read.
func (a *answers) line() ([]byte, error) {
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

// fill reads some more, behind what is not consumed.
func (a *answers) fill() error {
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

func number(digits []byte, base int64) (n int64, ok bool) {
	if len(digits) == 0 || len(digits) > 15 {
		return 0, false
	}
	for _, c := range digits {
		d := int64(base)
		switch {
		case c >= '0' && c <= '9':
			d = int64(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			d = int64(c|0x20-'a') + 10
		}
		if d >= base {
			return 0, false
		}
		n = n*base + d
	}
	return n, true
}
