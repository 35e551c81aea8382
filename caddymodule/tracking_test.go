package caddymodule

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
)

// trackedRoutes has a path that needs a key, and others that do not.
const trackedRoutes = `
	request_fields -X-Internal
	api_key_auth /keyed/*
	reverse_proxy %s
	handle_errors {
		api_errors
	}`

// trackedSite is a site with the paths /page, /cut, /hang, /stream and /tunnel, in any folder.
type trackedSite struct {
	*httptest.Server
	arrived, proceed chan struct{} // of a request to hang or stream
}

func newTrackedSite(t *testing.T) *trackedSite {
	s := &trackedSite{arrived: make(chan struct{}), proceed: make(chan struct{})}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *trackedSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, task, _ := strings.Cut(r.URL.Path[1:], "/")
	switch task {
	case "cut": // Caddy panics with http.ErrAbortHandler once the client has the header
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "a part")
	case "hang":
		s.arrived <- struct{}{}
		<-r.Context().Done()
	case "stream":
		io.WriteString(w, "first\n")
		http.NewResponseController(w).Flush()
		<-s.proceed
		io.WriteString(w, "second\n")
	case "tunnel":
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(conn, buffered)
	}
}

// eachTracking runs a test with and without an access log, for a path with and one without key.
func eachTracking(t *testing.T, run func(t *testing.T, e *testEdge, s *trackedSite, folder string, key header)) {
	for _, unlogged := range []bool{false, true} {
		s := newTrackedSite(t)
		e := newEdge(t, testenv.Database(t), testenv.Redis(t))
		e.routes, e.unlogged = fmt.Sprintf(trackedRoutes, s.Listener.Addr()), unlogged
		e.mustLoad()
		key := bearer(e.key("linksRead").Key)
		for _, folder := range []string{"/keyed/", "/open/"} {
			t.Run(fmt.Sprintf("%s unlogged=%t", folder, unlogged), func(t *testing.T) {
				e.t = t
				run(t, e, s, folder, key)
			})
		}
	}
}

// responses returns the count of the site's responses of a class.
func responses(t *testing.T, class string) float64 {
	t.Helper()
	for _, sample := range gathered(t, "hoko_http_responses_total") {
		if labelsOf(sample) == "{class="+class+",part=site}" {
			return sample.GetCounter().GetValue()
		}
	}
	t.Fatalf("no class %s", class)
	return 0
}

func awaitInFlight(t *testing.T, want float64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%v requests are in flight", want),
		func() bool { return metric(t, "hoko_http_requests_in_flight") == want })
}

// timed returns how many requests hoko_site_seconds has timed.
func timed(t *testing.T) uint64 {
	t.Helper()
	return gathered(t, "hoko_site_seconds")[0].GetHistogram().GetSampleCount()
}

func TestTracking_HandlerPanics(t *testing.T) {
	eachTracking(t, func(t *testing.T, e *testEdge, _ *trackedSite, folder string, key header) {
		before := responses(t, "2xx")
		if got, err := e.try("GET", folder+"cut", key, ""); err == nil {
			t.Fatalf("got a whole response: %+v", got)
		}
		awaitInFlight(t, 0)
		if now := responses(t, "2xx"); now != before+1 { // the client has seen the 200
			t.Errorf("2xx went from %v to %v", before, now)
		}
	})
}

func TestTracking_ClientLeaves(t *testing.T) {
	eachTracking(t, func(t *testing.T, e *testEdge, s *trackedSite, folder string, key header) {
		before := responses(t, "4xx")
		ctx, leave := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, "GET", "http://"+e.address+folder+"hang", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", key["Authorization"])
		left := make(chan error, 1)
		go func() {
			_, err := http.DefaultClient.Do(request)
			left <- err
		}()
		<-s.arrived
		awaitInFlight(t, 1)
		leave()
		if err := <-left; err == nil {
			t.Error("the client got a response")
		}
		awaitInFlight(t, 0)
		if now := responses(t, "4xx"); now != before+1 {
			t.Errorf("4xx went from %v to %v", before, now)
		}
	})
}

func TestTracking_WebSocket(t *testing.T) {
	eachTracking(t, func(t *testing.T, e *testEdge, _ *trackedSite, folder string, key header) {
		before, timedBefore := responses(t, "1xx"), timed(t)
		conn, err := net.Dial("tcp", e.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET %stunnel HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nConnection: Upgrade\r\n"+
			"Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
			folder, e.address, key["Authorization"])
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, nil)
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v %v", response, err)
		}
		fmt.Fprintln(conn, "hello")
		if line, err := reader.ReadString('\n'); line != "hello\n" {
			t.Fatalf("echo %q %v", line, err)
		}
		awaitInFlight(t, 1)
		conn.Close()
		awaitInFlight(t, 0)
		if now := responses(t, "1xx"); now != before+1 || timed(t) != timedBefore {
			t.Errorf("1xx went from %v to %v, the timed requests from %d to %d", before, now, timedBefore, timed(t))
		}
	})
}

func TestTracking_StreamsArriveInTime(t *testing.T) {
	eachTracking(t, func(t *testing.T, e *testEdge, s *trackedSite, folder string, key header) {
		before, timedBefore := responses(t, "2xx"), timed(t)
		request, err := http.NewRequest("GET", "http://"+e.address+folder+"stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", key["Authorization"])
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		reader := bufio.NewReader(response.Body)
		if line, err := reader.ReadString('\n'); line != "first\n" {
			t.Fatalf("%q %v", line, err)
		}
		s.proceed <- struct{}{}
		if rest, err := io.ReadAll(reader); string(rest) != "second\n" {
			t.Fatalf("%q %v", rest, err)
		}
		awaitInFlight(t, 0)
		wantTimed := timedBefore
		if folder == "/keyed/" {
			wantTimed++
		}
		if now := responses(t, "2xx"); now != before+1 || timed(t) != wantTimed {
			t.Errorf("2xx went from %v to %v, and %d requests are timed, want %d", before, now, timed(t), wantTimed)
		}
	})
}

// Whatever clients send, the set of series stays the same.
func TestMetrics_SeriesAreAClosedSet(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		fmt.Sscan(r.Header.Get("Status"), &status)
		w.WriteHeader(max(status, http.StatusOK))
	}))
	defer site.Close()
	e := startEdge(t, fmt.Sprintf(trackedRoutes, site.Listener.Addr()))
	keys := onlyBackend(t).Keys
	before := seriesOf(t)
	for i := range 100_000 {
		h := http.Header{"Authorization": {fmt.Sprint("Bearer hoko_key_", i)}}
		if _, _, err := keys.Authenticate(t.Context(), h, "192.0.2.1", apikey.Required{}); err == nil {
			t.Fatal("a key passed that does not exist")
		}
	}
	key := bearer(e.key("linksRead").Key)
	for i := range 100 {
		for _, folder := range []string{"/keyed/", "/open/"} {
			h := header{"Authorization": key["Authorization"], "Status": fmt.Sprint(200 + 8*i)} // up to 992
			e.send(fmt.Sprint("METHOD", i), fmt.Sprint(folder, i), h, "")
		}
	}
	if got := e.send("get", "/keyed/x", key, ""); got.status != 200 {
		t.Errorf("status %d", got.status)
	}
	after := seriesOf(t)
	if strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("%d series before, %d after: %q", len(before), len(after), after)
	}
}
