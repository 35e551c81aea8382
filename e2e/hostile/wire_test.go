package hostile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// wireSite is a site that parses the edge's requests byte by byte and accepts only unambiguous
// ones. It answers each with what it saw.
type wireSite struct {
	net.Listener
	mu        sync.Mutex
	seen      []string // "POST /a 5": method, target and length of the body
	heads     []string
	cut       int // incomplete requests
	ambiguous []error
}

func startWireSite(t testing.TB) *wireSite {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.NoError(t, err)
	s := &wireSite{Listener: listener}
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Go(func() { s.serve(conn) })
			t.Cleanup(func() { conn.Close() })
		}
	})
	t.Cleanup(func() { listener.Close() })
	return s
}

func (s *wireSite) upstream() string { return s.Addr().String() }

func (s *wireSite) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		head, seen, err := readWireRequest(r)
		s.mu.Lock()
		switch {
		case err == nil:
			s.seen = append(s.seen, seen)
			s.heads = append(s.heads, head)
		case errors.Is(err, errCut):
			s.cut++
		case !errors.Is(err, io.EOF):
			s.ambiguous = append(s.ambiguous, fmt.Errorf("%w in %q", err, head))
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-Seen: %s\r\nContent-Length: 0\r\n\r\n", seen)
	}
}

// since returns what the site saw after the first n requests, and all ambiguous requests.
func (s *wireSite) since(n int) (seen, heads []string, ambiguous []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen[n:]...), append([]string(nil), s.heads[n:]...), s.ambiguous
}

func (s *wireSite) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

var (
	errCut       = errors.New("the connection ended within a request")
	errAmbiguous = errors.New("two servers could read this differently")
)

// readWireRequest reads a request that follows RFC 9112 strictly: every line ends in CRLF, no line
// is folded, no framing field is repeated, and at most one field determines the length of the body.
func readWireRequest(r *bufio.Reader) (head, seen string, err error) {
	head, err = readWireHead(r)
	if err != nil {
		return head, "", err
	}
	lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	words := strings.Split(lines[0], " ")
	if len(words) != 3 || words[2] != "HTTP/1.1" {
		return head, "", errAmbiguous
	}
	framing := map[string][]string{}
	for _, line := range lines[1:] {
		name, value, found := strings.Cut(line, ":")
		if !found || name == "" || strings.ContainsAny(name, " \t") {
			return head, "", errAmbiguous
		}
		name = strings.ToLower(name)
		framing[name] = append(framing[name], strings.Trim(value, " \t"))
	}
	length, coding := framing["content-length"], framing["transfer-encoding"]
	if len(framing["host"]) != 1 || len(length)+len(coding) > 1 {
		return head, "", errAmbiguous
	}
	body := 0
	switch {
	case len(length) == 1:
		if body, err = wireNumber(length[0], 10); err != nil {
			return head, "", err
		}
		if _, err := io.CopyN(io.Discard, r, int64(body)); err != nil {
			return head, "", errCut
		}
	case len(coding) == 1:
		if coding[0] != "chunked" {
			return head, "", errAmbiguous
		}
		if body, err = readWireChunks(r); err != nil {
			return head, "", err
		}
	}
	return head, fmt.Sprintf("%s %s %d", words[0], words[1], body), nil
}

func readWireHead(r *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := readWireLine(r)
		if err != nil && head.Len() == 0 && line == "" {
			return "", io.EOF // between two requests
		}
		head.WriteString(line)
		if err != nil {
			return head.String(), err
		}
		if line == "\r\n" {
			return head.String(), nil
		}
		if line[0] == ' ' || line[0] == '\t' {
			return head.String(), errAmbiguous
		}
	}
}

// readWireLine reads up to CRLF. Any other CR, LF or NUL is an error.
func readWireLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return line, errCut
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.ContainsAny(text, "\r\x00") {
		return line, errAmbiguous
	}
	return line, nil
}

// readWireChunks reads chunks without extensions or trailers.
func readWireChunks(r *bufio.Reader) (length int, err error) {
	for {
		line, err := readWireLine(r)
		if err != nil {
			return 0, err
		}
		size, err := wireNumber(strings.TrimSuffix(line, "\r\n"), 16)
		if err != nil {
			return 0, err
		}
		if _, err := io.CopyN(io.Discard, r, int64(size)); err != nil {
			return 0, errCut
		}
		if end, err := readWireLine(r); err != nil || end != "\r\n" {
			return 0, errors.Join(err, errAmbiguous)
		}
		if size == 0 {
			return length, nil
		}
		length += size
	}
}

func wireNumber(text string, base int) (int, error) {
	if strings.Trim(text, "0123456789abcdef") != "" {
		return 0, errAmbiguous
	}
	n, err := strconv.ParseUint(text, base, 32)
	if err != nil {
		return 0, errAmbiguous
	}
	return int(n), nil
}

type wireStack struct {
	*harness.Edge
	db   harness.DB
	site *wireSite
}

func startWireStack(t testing.TB, edit func(string) string) *wireStack {
	t.Helper()
	dsn, site := testenv.Database(t), startWireSite(t)
	d := harness.Seed(t, dsn)
	return &wireStack{harness.Start(t, harness.Settings{DatabaseURL: dsn, RedisURL: testenv.Redis(t),
		Upstream: site.upstream(), Edit: edit}), d, site}
}
