package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// AdminGet returns the body of the admin endpoint's response to a GET of path.
func (e *Edge) AdminGet(t testing.TB, path string) string {
	t.Helper()
	got, err := e.admin("GET", path, "")
	testenv.NoError(t, err)
	return got.Text
}

// Load reloads the Caddyfile through the admin endpoint, without starting a process as Reload does.
func (e *Edge) Load(t testing.TB) {
	t.Helper()
	config, err := os.ReadFile(e.CaddyfilePath())
	testenv.NoError(t, err)
	testenv.Until(t, "the Caddyfile is loaded", func() bool {
		got, err := e.admin("POST", "/load", string(config))
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return false // the previous configuration's endpoint accepted the connection while shutting down
		}
		if err != nil || got.StatusCode != http.StatusOK {
			t.Fatalf("load: %d %s %v", got.StatusCode, got.Text, err)
		}
		return true
	})
	testenv.AwaitOneListener(t, e.Port)
}

func (e *Edge) admin(method, path, body string) (Answer, error) {
	client := &http.Client{Timeout: HangGuard, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", e.Admin)
		},
	}}
	req, err := http.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Content-Type", "text/caddyfile")
	req.Header.Set("Cache-Control", "must-revalidate") // reload even if the configuration is unchanged
	return send(client, req)
}

// Backend is the state of one of the edge's backends, as the admin endpoint reports it.
type Backend struct {
	Since time.Time
	Sales struct {
		SlowCustomers int `json:"slow_customers"`
	}
}

// Backends returns the backends that the edge holds, including those of earlier configurations.
func (e *Edge) Backends(t testing.TB) []Backend {
	t.Helper()
	var state struct{ Backends []Backend }
	body := e.AdminGet(t, "/hoko/")
	if err := json.Unmarshal([]byte(body), &state); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return state.Backends
}

// Listening reports whether the admin endpoint shows the key listener as up (want) or down (!want).
func (e *Edge) Listening(t testing.TB, want bool) bool {
	t.Helper()
	return strings.Contains(e.AdminGet(t, "/hoko/"), fmt.Sprintf(`"listening":%t`, want))
}

// Metric returns the value of a series, written as on /metrics. A missing series fails the test.
func (e *Edge) Metric(t testing.TB, series string) float64 {
	t.Helper()
	for line := range strings.Lines(e.AdminGet(t, "/metrics")) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			testenv.NoError(t, err)
			return n
		}
	}
	t.Fatalf("no metric %s", series)
	return 0
}

// Descriptors returns the number of the edge's open file descriptors, sockets included.
func (e *Edge) Descriptors(t testing.TB) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", e.PID()))
	testenv.NoError(t, err)
	return len(open)
}

// Memory returns the live heap after a garbage collection and the resident memory, both in MiB.
func (e *Edge) Memory(t testing.TB) (heap, resident int) {
	t.Helper()
	e.AdminGet(t, "/debug/pprof/heap?gc=1")
	allocated := Number(t, `(?m)^# HeapAlloc = (\d+)$`, e.AdminGet(t, "/debug/pprof/heap?gc=1&debug=1"))
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", e.PID()))
	testenv.NoError(t, err)
	pages, err := strconv.Atoi(string(bytes.Fields(statm)[1]))
	testenv.NoError(t, err)
	return allocated >> 20, pages * os.Getpagesize() >> 20
}

// Number returns the integer that the group of pattern matches in text, or fails the test.
func Number(t testing.TB, pattern, text string) int {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in %.300s", pattern, text)
	}
	n, err := strconv.Atoi(found[1])
	testenv.NoError(t, err)
	return n
}
