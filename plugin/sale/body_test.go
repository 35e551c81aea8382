package sale

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hoko.to/edge/internal/testkit"
)

const body415 = `{"error":{"en":"Unsupported content encoding","ar":"ترميز المحتوى غير مدعوم"}}`

func Test415_RejectsOtherCodings(t *testing.T) {
	for _, lines := range [][]string{
		{"gzip"}, {"GZIP"}, {"br"}, {"deflate"}, {"zstd"}, {"identity, gzip"}, {"gzip,identity"}, {"identity", "gzip"},
		{"identity;q=1"}, {"identit"},
	} {
		f := newFixture(recording, 0)
		w := f.post(aBody, http.Header{"Content-Encoding": lines})
		expect(t, w, 415, body415)
		expectHeader(t, w, "Accept-Encoding", "identity")
		f.expectNoSale(t)
		f.expectRejection(t, "encoding")
	}
}

func Test415_AnswersAfterOnlyTheHead(t *testing.T) {
	dial := serve(t, newFixture(recording, 0))
	for _, head := range []string{"Content-Length: 78", "Transfer-Encoding: chunked",
		"Content-Length: 78\r\nExpect: 100-continue"} {
		c := dial()
		c.send(head+"\r\nContent-Encoding: gzip", "")
		if res, body := c.receive(); res.StatusCode != 415 || body != body415 {
			t.Errorf("%s: %d %s", head, res.StatusCode, body)
		}
	}
}

func Test201_AcceptsIdentityInAnyCase(t *testing.T) {
	for _, lines := range [][]string{nil, {""}, {"identity"}, {"IDENTITY"}, {" identity , Identity,"},
		{"identity", "identity"}} {
		if w := newFixture(recording, 0).post(aBody, http.Header{"Content-Encoding": lines}); w.Code != 201 {
			t.Errorf("Content-Encoding %q: %d", lines, w.Code)
		}
	}
}

func Test201_AcceptsABodyOf65536Bytes(t *testing.T) {
	body := aBody + strings.Repeat(" ", maxBody-len(aBody))
	c := serve(t, newFixture(recording, 0))()
	for head, sent := range map[string]string{
		"Content-Length: 65536":      body,
		"Transfer-Encoding: chunked": "10000\r\n" + body + "\r\n0\r\n\r\n",
	} {
		c.send(head, sent)
		if res, answer := c.receive(); res.StatusCode != 201 {
			t.Errorf("%s: %d %s", head, res.StatusCode, answer)
		}
	}
}

func Test201_Sends100Continue(t *testing.T) {
	c := serve(t, newFixture(recording, 0))()
	c.send("Content-Length: 78\r\nExpect: 100-continue", "")
	if res, _ := c.receive(); res.StatusCode != 100 {
		t.Fatalf("%d, want 100", res.StatusCode)
	}
	c.conn.Write([]byte(aBody))
	if res, body := c.receive(); res.StatusCode != 201 || res.Close {
		t.Errorf("%d (closes: %v) %s", res.StatusCode, res.Close, body)
	}
}

const body413 = `{"error":{"en":"Request body too large","ar":"حجم الطلب كبير جدًا"}}`

func Test413_RejectsMoreThan65536Bytes(t *testing.T) {
	long := strings.Repeat(" ", maxBody+1)
	for name, request := range map[string][2]string{
		"declared":            {"Content-Length: 65537", ""},
		"declared, expects":   {"Content-Length: 65537\r\nExpect: 100-continue", ""},
		"declared and sent":   {"Content-Length: 65537", long},
		"chunked":             {"Transfer-Encoding: chunked", "10001\r\n" + long + "\r\n0\r\n\r\n"},
		"chunked, unfinished": {"Transfer-Encoding: chunked", "10002\r\n" + long},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(recording, 0)
			c := serve(t, f)()
			c.send(request[0], request[1])
			if res, body := c.receive(); res.StatusCode != 413 || body != body413 {
				t.Errorf("%d %s", res.StatusCode, body)
			}
			f.expectNoSale(t)
			f.expectRejection(t, "too_large")
		})
	}
}

func Test413_AppliesALowerLimitOfMiddleware(t *testing.T) {
	f := newFixture(recording, 0)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/", strings.NewReader(aBody))
	r.Body = wrappedErrors{http.MaxBytesReader(w, r.Body, 10)}
	f.ServeHTTP(w, r)
	expect(t, w, 413, body413)
}

// wrappedErrors wraps a body's errors, as Caddy's request_body does.
type wrappedErrors struct{ io.ReadCloser }

func (b wrappedErrors) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = errors.Join(err)
	}
	return n, err
}

const body408 = `{"error":{"en":"Request timeout","ar":"انتهت مهلة الطلب"}}`

func Test408_AnswersABodyThatDoesNotArrive(t *testing.T) {
	for name, request := range map[string][2]string{
		"nothing":             {"Content-Length: 78", ""},
		"a part":              {"Content-Length: 78", aBody[:70]},
		"no chunk":            {"Transfer-Encoding: chunked", ""},
		"no last chunk":       {"Transfer-Encoding: chunked", "4e\r\n" + aBody + "\r\n"},
		"nothing after a 100": {"Content-Length: 78\r\nExpect: 100-continue", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(recording, 50*time.Millisecond)
			c := serve(t, f)()
			c.send(request[0], request[1])
			res, body := c.receive()
			if res.StatusCode == 100 {
				res, body = c.receive()
			}
			if res.StatusCode != 408 || body != body408 || !res.Close {
				t.Errorf("%d (closes: %v) %s", res.StatusCode, res.Close, body)
			}
			f.expectNoSale(t)
			f.expectRejection(t, "timeout")
		})
	}
}

func Test408_KeepsAnHTTP2Connection(t *testing.T) {
	server := httptest.NewUnstartedServer(newFixture(recording, 50*time.Millisecond))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	client.Timeout = hangGuard

	unsent, upload := io.Pipe()
	defer upload.Close()
	for _, request := range []struct {
		body   io.Reader
		status int
	}{{unsent, 408}, {strings.NewReader(aBody), 201}} {
		res, err := client.Post(server.URL, "application/json", request.body)
		testkit.NoError(t, err)
		res.Body.Close()
		if res.StatusCode != request.status || res.ProtoMajor != 2 {
			t.Errorf("%s %d, want %d", res.Proto, res.StatusCode, request.status)
		}
	}
}

// The timeout, here of a fake clock, applies to the whole body and not to each read.
func Test408_BoundsTheWholeBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trickle sync.WaitGroup
		t.Cleanup(trickle.Wait)
		conn := testkit.ServePipe(t, newFixture(recording, 0))
		start := time.Now()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 78\r\n\r\n")
		trickle.Go(func() {
			for i := range aBody { // a byte a second
				time.Sleep(time.Second)
				if _, err := conn.Write([]byte(aBody[i : i+1])); err != nil {
					return
				}
			}
		})
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		testkit.NoError(t, err)
		if waited := time.Since(start); res.StatusCode != 408 || waited >= 11*time.Second || waited < 10*time.Second {
			t.Errorf("%d after %v", res.StatusCode, waited)
		}
	})
}

func TestHandler_ClearsItsDeadline(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	newFixture(recording, 0).ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(aBody)))
	if w.Code != 201 || len(w.set) != 2 || w.set[0].IsZero() || !w.set[1].IsZero() {
		t.Errorf("%d with deadlines %v, want one that is cleared", w.Code, w.set)
	}
}

// deadlines records the read deadlines that are set.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(deadline time.Time) error {
	d.set = append(d.set, deadline)
	return nil
}

func Test400_AnswersACorruptBody(t *testing.T) {
	f := newFixture(recording, 0)
	c := serve(t, f)()
	c.send("Transfer-Encoding: chunked", "no chunk\r\n")
	res, body := c.receive()
	if res.StatusCode != 400 || body != body400 || res.Header.Get("Hoko-Reason") != "body: could not be read" ||
		!res.Close {
		t.Errorf("%d (closes: %v) %q %s", res.StatusCode, res.Close, res.Header.Get("Hoko-Reason"), body)
	}
	f.expectRejection(t, "aborted")
}

func TestHandler_RecordsNoSaleOfAPartialBody(t *testing.T) {
	f := newFixture(recording, 0)
	answered := make(chan struct{})
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.ServeHTTP(w, r)
		close(answered)
	}))()
	c.send("Content-Length: 79", aBody) // a whole sale, but a byte less than declared
	c.conn.Close()
	await(t, answered)
	f.expectNoSale(t)
	f.expectRejection(t, "aborted")
}

// FuzzContentEncoding checks that isIdentity accepts no other coding.
func FuzzContentEncoding(f *testing.F) {
	for _, value := range []string{"", "identity", "Identity", "identity, identity", "gzip", "identity,gzip", "x-gzip",
		"identity;q=0", "\u0130dentity", " , ", "identity\t"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := isIdentity([]string{"identity", value})
		isSeparator := func(r rune) bool { return strings.ContainsRune(", \t", r) }
		codings := strings.FieldsFunc(strings.ToLower(value), isSeparator)
		for _, coding := range codings {
			if got && strings.TrimSpace(coding) != "identity" {
				t.Errorf("%q is accepted", value)
			}
		}
		if got != isIdentity([]string{value, ""}) {
			t.Errorf("%q depends on the other lines", value)
		}
	})
}
