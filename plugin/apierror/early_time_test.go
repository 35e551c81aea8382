package apierror

import (
	"bufio"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"hoko.to/edge/internal/testkit"
)

// Times are those of a fake clock.
func TestRespondEarly_WaitsAtMost200msForTheBody(t *testing.T) {
	for name, upload := range map[string]struct {
		head string
		late time.Duration // until the body "hello" follows; 0 = never
		kept bool
		wait time.Duration // until the answer
	}{
		"immediately":     {"Content-Length: 5", time.Nanosecond, true, time.Nanosecond},
		"in time":         {"Content-Length: 5", 199 * time.Millisecond, true, 199 * time.Millisecond},
		"in time, longer": {"Content-Length: 6", 199 * time.Millisecond, false, 200 * time.Millisecond},
		"too late":        {"Content-Length: 5", 201 * time.Millisecond, false, 200 * time.Millisecond},
		"never":           {"Content-Length: 5", 0, false, 200 * time.Millisecond},
		"never, chunked":  {"Transfer-Encoding: chunked", 0, false, 200 * time.Millisecond},
		"never, long":     {"Content-Length: 65537", 0, false, 0},
		"never, expects":  {"Content-Length: 5\r\nExpect: 100-continue", 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := testkit.ServePipe(t, rejecting(true))
				start := time.Now()
				send(t, conn, "POST / HTTP/1.1\r\nHost: x\r\n"+upload.head+"\r\n\r\n")
				if upload.late > 0 {
					time.AfterFunc(upload.late, func() { conn.Write([]byte("hello")) })
				}
				res := receive(t, bufio.NewReader(conn))
				if wait := time.Since(start); wait != upload.wait {
					t.Errorf("answered after %v, want %v", wait, upload.wait)
				}
				if res.Close == upload.kept {
					t.Errorf("closes: %v, want %v", res.Close, !upload.kept)
				}
			})
		})
	}
}

func TestRespondEarly_ClosesWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := testkit.ServePipe(t, rejecting(true))
		send(t, conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n")
		answers := bufio.NewReader(conn)
		receive(t, answers)
		start := time.Now()
		if _, err := answers.ReadByte(); err == nil {
			t.Error("something follows the answer")
		}
		if held := time.Since(start); held != lingerTime+500*time.Millisecond {
			t.Errorf("closed after %v", held)
		}
	})
}

// A read timeout cancels the context of every later request of its connection.
func TestRespondEarly_ClosesAfterAnEarlierTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := testkit.ServePipe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
			r.Body.Read(make([]byte, 1)) // times out
			RespondEarly(w, r, func() { Write(w, InvalidKey) })
		}))
		send(t, conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
		time.AfterFunc(1100*time.Millisecond, func() { conn.Write([]byte("hello")) })
		if res := receive(t, bufio.NewReader(conn)); !res.Close {
			t.Error("the connection is kept")
		}
	})
}
