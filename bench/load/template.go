package load

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	seqMark, pickMark   = "{seq}", "{pick}"
	seqWidth, pickWidth = 16, 8
	maxPick             = 100_000_000
)

// template is a request in wire format, with the offsets of its placeholders.
type template struct {
	wire        []byte
	seqs, picks []int
	head        bool // the response has no body
}

func newTemplate(r Request, host string) template {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\n", r.Method, r.Path)
	names := slices.Sorted(maps.Keys(r.Header))
	if !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, "Host") }) {
		fmt.Fprintf(&text, "Host: %s\r\n", host)
	}
	for _, name := range names {
		fmt.Fprintf(&text, "%s: %s\r\n", name, r.Header[name])
	}
	if r.Body != "" || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		fmt.Fprintf(&text, "Content-Length: %d\r\n", len(expand(r.Body, 0, 0)))
	}
	text.WriteString("\r\n" + r.Body)
	t := compile(text.String())
	t.head = r.Method == http.MethodHead
	return t
}

func compile(text string) (t template) {
	for text != "" {
		before, after, _ := strings.Cut(text, "{")
		t.wire = append(t.wire, before...)
		if len(before) == len(text) {
			break
		}
		switch mark := "{" + after; {
		case strings.HasPrefix(mark, seqMark):
			t.seqs = append(t.seqs, len(t.wire))
			t.wire = append(t.wire, make([]byte, seqWidth)...)
			text = mark[len(seqMark):]
		case strings.HasPrefix(mark, pickMark):
			t.picks = append(t.picks, len(t.wire))
			t.wire = append(t.wire, make([]byte, pickWidth)...)
			text = mark[len(pickMark):]
		default:
			t.wire = append(t.wire, '{')
			text = after
		}
	}
	t.fill(0, 0)
	return t
}

func (t template) fill(seq uint64, pick uint32) {
	for _, at := range t.seqs {
		digits(t.wire[at:at+seqWidth], seq)
	}
	for _, at := range t.picks {
		digits(t.wire[at:at+pickWidth], uint64(pick))
	}
}

// ForConnection returns a copy of r with {connection} filled in.
func (r Request) ForConnection(number int) Request {
	fill := strings.NewReplacer("{connection}", fmt.Sprintf("%08d", number))
	r.Path, r.Body, r.Header = fill.Replace(r.Path), fill.Replace(r.Body), maps.Clone(r.Header)
	for name, value := range r.Header {
		r.Header[name] = fill.Replace(value)
	}
	return r
}

func digits(into []byte, n uint64) {
	for i := len(into) - 1; i >= 0; i-- {
		into[i] = byte('0' + n%10)
		n /= 10
	}
}

// expand returns text with its placeholders filled in.
func expand(text string, seq uint64, pick uint32) string {
	t := compile(text)
	t.fill(seq, pick)
	return string(t.wire)
}

func host(raw string) string {
	u, _ := url.Parse(raw) // Spec.check has validated it
	return u.Host
}

// address returns the host and port to dial.
func address(raw string) string {
	u, _ := url.Parse(raw)
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	return net.JoinHostPort(u.Hostname(), port)
}
