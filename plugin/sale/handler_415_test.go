package sale

import (
	"net/http"
	"testing"
)

const body415 = `{"error":{"en":"Unsupported content encoding","ar":"ترميز المحتوى غير مدعوم"}}`

func Test415_RefusesEveryOtherCoding(t *testing.T) {
	for _, lines := range [][]string{
		{"gzip"}, {"GZIP"}, {"br"}, {"deflate"}, {"zstd"}, {"identity, gzip"}, {"gzip,identity"}, {"identity", "gzip"}, {"identity;q=1"}, {"identit"},
	} {
		f := newFixture(recording, 0)
		w := f.post(aBody, http.Header{"Content-Encoding": lines})
		expect(t, w, 415, body415)
		if got := w.Header().Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding %q, want what is accepted", got)
		}
		if n := len(f.sales()); n != 0 {
			t.Errorf("%q: %d sales reached the store", lines, n)
		}
		f.expectRefusal(t, "encoding")
	}
}

func Test415_AnswersAClientThatSentOnlyItsHead(t *testing.T) {
	dial := serve(t, newFixture(recording, 0))
	for _, head := range []string{"Content-Length: 78", "Transfer-Encoding: chunked", "Content-Length: 78\r\nExpect: 100-continue"} {
		c := dial()
		c.send(head+"\r\nContent-Encoding: gzip", "")
		if res, body := c.receive(); res.StatusCode != 415 || body != body415 {
			t.Errorf("%s: %d %s", head, res.StatusCode, body)
		}
	}
}
