package load

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// read returns the status of each response up to an error or the last one of the connection.
func read(from io.Reader, head bool) (statuses []int, closed bool, err error) {
	a := &responseReader{from: from}
	for {
		got, err := a.next(head)
		if err != nil {
			return statuses, false, err
		}
		statuses = append(statuses, got.status)
		if got.close {
			return statuses, true, nil
		}
	}
}

func TestResponseReader_Next(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	const chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
	long := strings.Repeat("x", 3*longestLine)
	for _, c := range []struct {
		name, wire string
		head       bool
		statuses   []int
		closed     bool
		err        error // io.EOF if the connection can be reused
	}{
		{"content length", "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello", false, []int{201}, false, io.EOF},
		{"names in any case", ok + "cOnTeNt-LeNgTh:5  \r\nconnection: x, CLOSE\r\n\r\nhello",
			false, []int{200}, true, nil},
		{"body longer than buffer", ok + "Content-Length: 49152\r\n\r\n" + long, false, []int{200}, false, io.EOF},
		{"no reason", "HTTP/1.1 429\r\nContent-Length: 0\r\n\r\n", false, []int{429}, false, io.EOF},
		{"chunked", chunked + "5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", false, []int{200}, false, io.EOF},
		{"chunked, with a trailer", chunked + "0\r\nX: y\r\n\r\n", false, []int{200}, false, io.EOF},
		{"chunk longer than buffer", chunked + "c000\r\n" + long + "\r\n0\r\n\r\n", false, []int{200}, false, io.EOF},
		{"100 Continue first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" +
			ok + "Content-Length: 2\r\n\r\nok", false, []int{200}, false, io.EOF},
		{"head longer than buffer", ok + strings.Repeat("X: "+long[:1000]+"\r\n", 40) +
			"Content-Length: 2\r\n\r\nok", false, []int{200}, false, io.EOF},
		{"nothing to read", "HTTP/1.1 204 No Content\r\n\r\n", false, []int{204}, false, io.EOF},
		{"not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, []int{304}, false, io.EOF},
		{"HEAD", ok + "Content-Length: 5\r\n\r\n", true, []int{200}, false, io.EOF},
		{"until the connection ends", ok + "\r\nhello", false, []int{200}, true, nil},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, []int{200}, true, nil},

		{"body cut off", ok + "Content-Length: 5\r\n\r\nhell", false, nil, false, io.ErrUnexpectedEOF},
		{"head cut off", ok + "Content-", false, nil, false, io.ErrUnexpectedEOF},
		{"chunk cut off", chunked + "5\r\nhel", false, nil, false, io.ErrUnexpectedEOF},
		{"body without its last chunk", chunked + "5\r\nhello\r\n", false, nil, false, io.ErrUnexpectedEOF},
		{"garbage", "SSH-2.0-OpenSSH_9.6\r\n", false, nil, false, errGarbage},
		{"another version", "HTTP/2.0 200 OK\r\n\r\n", false, nil, false, errGarbage},
		{"no status", "HTTP/1.1 2x0 OK\r\n\r\n", false, nil, false, errGarbage},
		{"status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", false, nil, false, errGarbage},
		{"switches protocols", "HTTP/1.1 101 Switching Protocols\r\n\r\n", false, nil, false, errGarbage},
		{"negative length", ok + "Content-Length: -5\r\n\r\n", false, nil, false, errGarbage},
		{"two lengths", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", false, nil, false, errGarbage},
		{"no header", ok + "hello\r\n\r\n", false, nil, false, errGarbage},
		{"another coding", ok + "Transfer-Encoding: gzip\r\n\r\n", false, nil, false, errGarbage},
		{"chunk without a size", chunked + "\r\n", false, nil, false, errGarbage},
		{"chunk longer than its size", chunked + "2\r\nhello\r\n0\r\n\r\n", false, nil, false, errGarbage},
		{"endless line", ok + "X: " + long, false, nil, false, errLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			for how, from := range map[string]io.Reader{
				"":               strings.NewReader(c.wire),
				"byte by byte: ": iotest.OneByteReader(strings.NewReader(c.wire)),
			} {
				statuses, closed, err := read(from, c.head)
				if !slices.Equal(statuses, c.statuses) || closed != c.closed || !errors.Is(err, c.err) {
					t.Errorf("%s%v, closed %v, %v", how, statuses, closed, err)
				}
			}
		})
	}
}

func TestResponseReader_ExcessResponse(t *testing.T) {
	one := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	if _, _, err := read(strings.NewReader(one+one), false); err != errExcess {
		t.Error(err)
	}
}

// FuzzResponses compares the parser with net/http's, and with itself when it reads byte by byte.
func FuzzResponses(f *testing.F) {
	for _, wire := range []string{
		"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nhello",
		"HTTP/1.1 304 Not Modified\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
	} {
		f.Add([]byte(wire))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		a := &responseReader{from: bytes.NewReader(wire)}
		got, err := a.next(false)
		if err != nil {
			return
		}
		slow, err := (&responseReader{from: iotest.OneByteReader(bytes.NewReader(wire))}).next(false)
		if err != nil || slow != got {
			t.Fatalf("%+v, byte by byte %+v, %v", got, slow, err)
		}
		rest := bufio.NewReader(bytes.NewReader(wire))
		for {
			want, err := http.ReadResponse(rest, nil)
			if err != nil {
				return // net/http is stricter about details that do not matter here
			}
			if want.StatusCode < 200 {
				continue
			}
			if _, err := io.Copy(io.Discard, want.Body); err != nil {
				return
			}
			if left, _ := io.Copy(io.Discard, rest); want.StatusCode != got.status || left != 0 {
				t.Fatalf("%+v, net/http says %d and leaves %d bytes", got, want.StatusCode, left)
			}
			return
		}
	})
}
