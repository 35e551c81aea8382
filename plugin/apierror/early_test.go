package apierror

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hoko.to/edge/internal/testkit"
)

// hangGuard fails a test that gets no response.
const hangGuard = 20 * time.Second

// servers are those that RespondEarly must work on. Middleware such as Caddy's may wrap body and
// writer, and so hide them from net/http.
var servers = []struct {
	name            string
	secure, wrapped bool
}{
	{"plain", false, false},
	{"plain, wrapped", false, true},
	{"TLS", true, false},
	{"TLS, wrapped", true, true},
}

type wrappedWriter struct{ http.ResponseWriter }

func (w wrappedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type wrappedBody struct{ io.ReadCloser }

// rejecting answers every request with 401 without reading its body.
func rejecting(wrapped bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wrapped {
			r.Body = wrappedBody{r.Body}
			w = wrappedWriter{wrappedWriter{w}}
		}
		RespondEarly(w, r, func() { Write(w, InvalidKey) })
	})
}

func serve(t *testing.T, h http.Handler, secure bool) (dial func() net.Conn) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	start := server.Start
	if secure {
		start = server.StartTLS
	}
	start()
	t.Cleanup(server.Close)
	return func() net.Conn {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		testkit.NoError(t, err)
		conn.(*net.TCPConn).SetWriteBuffer(64 << 10)
		if secure {
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		}
		conn.SetDeadline(time.Now().Add(hangGuard))
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

func TestRespondEarly_AnswersAfterOnlyTheHead(t *testing.T) {
	for _, server := range servers {
		dial := serve(t, rejecting(server.wrapped), server.secure)
		for _, head := range []string{
			"Content-Length: 10",
			"Content-Length: 70000",
			"Content-Length: 300000",
			"Transfer-Encoding: chunked",
			"Content-Length: 10\r\nExpect: 100-continue",
			"Content-Length: 70000\r\nExpect: 100-continue",
			"Content-Length: 300000\r\nExpect: 100-continue",
			"Transfer-Encoding: chunked\r\nExpect: 100-Continue",
		} {
			t.Run(server.name+"/"+strings.ReplaceAll(head, "\r\n", ", "), func(t *testing.T) {
				t.Parallel()
				conn := dial()
				send(t, conn, "POST / HTTP/1.1\r\nHost: x\r\n"+head+"\r\n\r\n")
				if res := receive(t, bufio.NewReader(conn)); !res.Close {
					t.Error("the response lacks Connection: close")
				}
			})
		}
	}
}

func TestRespondEarly_KeepsTheConnection(t *testing.T) {
	for _, server := range servers {
		dial := serve(t, rejecting(server.wrapped), server.secure)
		for name, rest := range map[string]string{
			"no body":         "\r\n",
			"Content-Length":  "Content-Length: 5\r\n\r\nhello",
			"empty body":      "Content-Length: 0\r\n\r\n",
			"chunked":         "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
			"Expect, no body": "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n",
		} {
			t.Run(server.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				conn := dial()
				answers := bufio.NewReader(conn)
				for range 3 {
					send(t, conn, "POST / HTTP/1.1\r\nHost: x\r\n"+rest)
					if res := receive(t, answers); res.Close {
						t.Fatal("the connection closes")
					}
				}
			})
		}
	}
}

// Many clients read no response before they have sent everything. They lose it if a write fails.
func TestRespondEarly_LetsAClientFinishItsUpload(t *testing.T) {
	const size = 3 << 20
	block := strings.Repeat("x", 1<<10)
	uploads := map[string]func(*bufio.Writer){
		"Content-Length": func(w *bufio.Writer) {
			w.WriteString("Content-Length: 3145728\r\n\r\n")
			for range size >> 10 {
				w.WriteString(block)
			}
		},
		"chunked": func(w *bufio.Writer) {
			w.WriteString("Transfer-Encoding: chunked\r\n\r\n")
			for range size >> 10 {
				w.WriteString("400\r\n" + block + "\r\n")
			}
			w.WriteString("0\r\n\r\n")
		},
	}
	for _, server := range servers {
		dial := serve(t, rejecting(server.wrapped), server.secure)
		for name, upload := range uploads {
			t.Run(server.name+"/"+name, func(t *testing.T) {
				conn := dial()
				w := bufio.NewWriter(conn)
				w.WriteString("POST / HTTP/1.1\r\nHost: x\r\n")
				upload(w)
				if err := w.Flush(); err != nil {
					t.Fatalf("upload: %v", err)
				}
				if res := receive(t, bufio.NewReader(conn)); !res.Close {
					t.Error("the response lacks Connection: close")
				}
			})
		}
	}
}

// A connection that closes with unread data is reset. The end of the stream must come first.
func TestRespondEarly_EndsTheStreamBeforeItResets(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			conn := serve(t, rejecting(server.wrapped), server.secure)()
			send(t, conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n"+
				strings.Repeat("x", 32<<10))
			answers := bufio.NewReader(conn)
			receive(t, answers)
			if _, err := answers.ReadByte(); err != io.EOF {
				t.Errorf("after the answer: %v, want EOF", err)
			}
		})
	}
}

func TestRespondEarly_ClosesAfterAnUnreadableBody(t *testing.T) {
	for name, body := range map[string]string{
		"corrupt chunk": "Transfer-Encoding: chunked\r\n\r\nno chunk\r\n\r\n",
		"too long":      "Content-Length: 65537\r\n\r\n" + strings.Repeat("x", 65537),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := serve(t, rejecting(false), false)()
			send(t, conn, "POST / HTTP/1.1\r\nHost: x\r\n"+body)
			if res := receive(t, bufio.NewReader(conn)); !res.Close {
				t.Error("the connection is kept")
			}
		})
	}
}

func TestRespondEarly_KeepsHTTP2Connections(t *testing.T) {
	server := httptest.NewUnstartedServer(rejecting(true))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	client.Timeout = hangGuard

	var reused atomic.Int32
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if info.Reused {
				reused.Add(1)
			}
		},
	})
	for range 3 {
		unsent, neverWritten := io.Pipe()
		req, _ := http.NewRequestWithContext(ctx, "POST", server.URL, unsent)
		res, err := client.Do(req)
		testkit.NoError(t, err)
		expectUnauthorized(t, res)
		if res.ProtoMajor != 2 {
			t.Fatalf("protocol %s", res.Proto)
		}
		neverWritten.Close()
	}
	if got := reused.Load(); got != 2 {
		t.Errorf("%d of 2 requests reused the connection", got)
	}
}

// A deadline that stays set would limit what middleware reads later.
func TestRespondEarly_ClearsItsDeadline(t *testing.T) {
	w := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest("POST", "/", strings.NewReader("hello"))
	RespondEarly(w, r, func() { Write(w, InvalidKey) })
	if len(w.deadlines) != 2 || w.deadlines[0].IsZero() || !w.deadlines[1].IsZero() {
		t.Errorf("deadlines %v, want one that is cleared", w.deadlines)
	}
}

type deadlineRecorder struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

func (w *deadlineRecorder) SetReadDeadline(deadline time.Time) error {
	w.deadlines = append(w.deadlines, deadline)
	return nil
}

func TestRespondEarly_WorksWithoutWriterControls(t *testing.T) {
	w := httptest.NewRecorder()
	bare := struct{ http.ResponseWriter }{w} // hides Flush and Unwrap
	r := httptest.NewRequest("POST", "/", io.NopCloser(untouchable{t}))
	r.ContentLength = -1
	RespondEarly(bare, r, func() { Write(bare, InvalidKey) })
	if w.Code != 401 || w.Header().Get("Connection") != "close" {
		t.Errorf("%d, Connection %q", w.Code, w.Header().Get("Connection"))
	}
}

// untouchable is a body that must not be read, because no deadline could end the read.
type untouchable struct{ t *testing.T }

func (n untouchable) Read([]byte) (int, error) {
	n.t.Error("the body is read")
	return 0, io.EOF
}

func send(t *testing.T, conn net.Conn, request string) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, answers *bufio.Reader) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(answers, nil)
	testkit.NoError(t, err)
	expectUnauthorized(t, res)
	return res
}

func expectUnauthorized(t *testing.T, res *http.Response) {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	testkit.NoError(t, err)
	if res.StatusCode != 401 || !bytes.Equal(body, InvalidKey.body) {
		t.Fatalf("%d %s, want the 401", res.StatusCode, body)
	}
}
