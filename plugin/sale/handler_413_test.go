package sale

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const body413 = `{"error":{"en":"Request body too large","ar":"حجم الطلب كبير جدًا"}}`

func Test413_RefusesMoreThan65536Bytes(t *testing.T) {
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
			if n := len(f.sales()); n != 0 {
				t.Errorf("%d sales reached the store", n)
			}
			f.expectRefusal(t, "too_large")
		})
	}
}

func Test413_HeedsALowerBoundBeforeIt(t *testing.T) {
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
