package load

import "testing"

func TestExpand_KeepsWidth(t *testing.T) {
	for _, c := range []struct {
		text string
		seq  uint64
		pick uint32
		want string
	}{
		{"", 1, 2, ""},
		{"plain", 1, 2, "plain"},
		{"{seq}", 0, 0, "0000000000000000"},
		{"{seq}{pick}", 9_999_999_999_999_999, maxPick - 1, "999999999999999999999999"},
		{"a{pick}b{seq}c{pick}", 42, 7, "a00000007b0000000000000042c00000007"},
		{`{"id":"{seq}","m":{"k":{}}}`, 123, 0, `{"id":"0000000000000123","m":{"k":{}}}`},
		{"{{seq}} {seq {SEQ} {pick", 1, 1, "{0000000000000001} {seq {SEQ} {pick"},
		{"{seq}", 10_000_000_000_000_001, 0, "0000000000000001"},
	} {
		if got := expand(c.text, c.seq, c.pick); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestForConnection_FillsACopy(t *testing.T) {
	r := Request{Path: "/{connection}", Header: map[string]string{"A": "{connection} {pick}"}, Body: "b{connection}"}
	got := r.ForConnection(42)
	if got.Path != "/00000042" || got.Header["A"] != "00000042 {pick}" || got.Body != "b00000042" {
		t.Errorf("%+v", got)
	}
	if r.Header["A"] != "{connection} {pick}" {
		t.Error("the original has changed")
	}
}

func TestTemplate_Wire(t *testing.T) {
	for _, c := range []struct {
		name    string
		request Request
		want    string
	}{
		{"GET", Request{Method: "GET", Path: "/p?q={pick}"},
			"GET /p?q=00000007 HTTP/1.1\r\nHost: localhost:1\r\n\r\n"},
		{"empty POST", Request{Method: "POST", Path: "/"},
			"POST / HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 0\r\n\r\n"},
		{"POST", Request{Method: "POST", Path: "/", Header: map[string]string{"X": "{seq}", "A": "b"}, Body: "{pick}"},
			"POST / HTTP/1.1\r\nHost: localhost:1\r\nA: b\r\nX: 0000000000000042\r\nContent-Length: 8\r\n\r\n00000007"},
		{"another host", Request{Method: "GET", Path: "/", Header: map[string]string{"host": "hoko.to"}},
			"GET / HTTP/1.1\r\nhost: hoko.to\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			template := newTemplate(c.request, "localhost:1")
			template.fill(42, 7)
			if got := string(template.wire); got != c.want {
				t.Errorf("%q\nwant %q", got, c.want)
			}
		})
	}
}
