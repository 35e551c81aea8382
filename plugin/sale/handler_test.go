package sale

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testkit"
	"hoko.to/edge/plugin/apikey"
)

const (
	aBody = `{"customerExternalId":"customer_123","amount":12900,"customerName":"John Doe"}`

	// hangGuard fails a test that gets no response.
	hangGuard = 20 * time.Second

	body400 = `{"error":{"en":"Invalid request","ar":"طلب غير صالح"}}`
)

var aKey = &apikey.Key{ID: "key_1", WorkspaceID: "ws_1", Scopes: apikey.ScopesOf([]string{"conversionsWrite"})}

// fixture is a Handler with a test's store, its metrics, its log and its sales.
type fixture struct {
	*Handler
	metrics *prometheus.Registry
	log     *syncBuffer
	sales   func() []*Sale // that reached the store
}

func newFixture(store storeFunc, bodyTimeout time.Duration) *fixture {
	var mu sync.Mutex
	var sales []*Sale
	f := &fixture{metrics: prometheus.NewRegistry(), log: &syncBuffer{}}
	f.sales = func() []*Sale { mu.Lock(); defer mu.Unlock(); return sales }
	recorder := newTestRecorder(func(ctx context.Context, s *Sale) (*Recorded, error) {
		mu.Lock()
		sales = append(sales, s)
		mu.Unlock()
		return store(ctx, s)
	}, RecorderOptions{Metrics: f.metrics})
	logger := slog.New(slog.NewTextHandler(f.log, nil))
	f.Handler = must(NewHandler(HandlerOptions{Recorder: recorder, BodyTimeout: bodyTimeout, Logger: logger}))
	return f
}

// ServeHTTP adds a verified key, as api_key_auth does.
func (f *fixture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.Handler.ServeHTTP(w, r.WithContext(apikey.NewContext(r.Context(), aKey)))
}

// post returns the response to one request, without a network.
func (f *fixture) post(body string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/api/track/sale", strings.NewReader(body))
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func (f *fixture) expectRejection(t *testing.T, cause string) {
	t.Helper()
	for each, n := range counterValues(t, f.metrics, "hoko_sale_refusals_total") {
		if (each == cause) != (n == 1) {
			t.Errorf("rejections by %s: %v", each, n)
		}
	}
}

func (f *fixture) expectNoSale(t *testing.T) {
	t.Helper()
	if n := len(f.sales()); n != 0 {
		t.Errorf("%d sales reached the store", n)
	}
}

func expect(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status || w.Body.String() != body {
		t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, status, body)
	}
	expectHeader(t, w, "Content-Type", "application/json; charset=utf-8")
	expectHeader(t, w, "Cache-Control", "no-store")
}

func expectHeader(t *testing.T, w *httptest.ResponseRecorder, name, want string) {
	t.Helper()
	if got := w.Header().Get(name); got != want {
		t.Errorf("%s %q, want %q", name, got, want)
	}
}

// serve serves h over TCP. dial connects to it.
func serve(t *testing.T, h http.Handler) (dial func() *client) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return func() *client {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		testkit.NoError(t, err)
		conn.SetDeadline(time.Now().Add(hangGuard))
		t.Cleanup(func() { conn.Close() })
		return &client{t, conn, bufio.NewReader(conn)}
	}
}

// client sends raw HTTP/1.1.
type client struct {
	t       *testing.T
	conn    net.Conn
	answers *bufio.Reader
}

// send sends a POST with the header lines in head, and then rest.
func (c *client) send(head, rest string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn,
		"POST /api/track/sale HTTP/1.1\r\nHost: hoko.to\r\n"+head+"\r\n\r\n"+rest); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) receive() (res *http.Response, body string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.answers, nil)
	testkit.NoError(c.t, err)
	read, err := io.ReadAll(res.Body)
	testkit.NoError(c.t, err)
	return res, string(read)
}

// syncBuffer is a buffer for concurrent use.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func TestHandler_DecidesInOrder(t *testing.T) {
	long := strings.Repeat(" ", maxBody+1)
	for _, request := range []struct {
		name, body string
		header     http.Header
		status     int
		reason     string
	}{
		{"encoding before length", long, http.Header{"Content-Encoding": {"gzip"}}, 415, ""},
		{"length before members", long, http.Header{"Idempotency-Key": {""}}, 413, ""},
		{"members before idempotency key", `{"amount":-1}`, http.Header{"Idempotency-Key": {""}}, 400,
			"amount: must be a non-negative integer"},
		{"idempotency key before the sale", aBody, http.Header{"Idempotency-Key": {""}}, 400,
			"Idempotency-Key: must be 1 to 255 printable ASCII characters"},
	} {
		t.Run(request.name, func(t *testing.T) {
			f := newFixture(recording, 0)
			w := f.post(request.body, request.header)
			if reason := w.Header().Get("Hoko-Reason"); w.Code != request.status || reason != request.reason {
				t.Errorf("%d %q, want %d %q", w.Code, reason, request.status, request.reason)
			}
			f.expectNoSale(t)
		})
	}
}

func TestHandler_KeepsTheConnectionAfterA4xx(t *testing.T) {
	mismatch := func(_ context.Context, s *Sale) (*Recorded, error) {
		if s.IdempotencyKey == "taken" {
			return nil, ErrIdempotencyMismatch
		}
		return recording(context.Background(), s)
	}
	f := newFixture(mismatch, 0)
	c := serve(t, f)()
	for _, request := range []struct {
		head, body string
		status     int
	}{
		{"Content-Length: 2", "{}", 400},
		{"Content-Length: 2\r\nContent-Encoding: gzip", "{}", 415},
		{"Content-Length: 78\r\nIdempotency-Key: taken", aBody, 422},
		{"Content-Length: 78\r\nIdempotency-Key: a\r\nIdempotency-Key: a", aBody, 400},
		{"Content-Length: 78", aBody, 201},
		{"Transfer-Encoding: chunked", "4e\r\n" + aBody + "\r\n0\r\n\r\n", 201},
	} {
		c.send(request.head, request.body)
		if res, body := c.receive(); res.StatusCode != request.status || res.Close {
			t.Fatalf("%s: %d (closes: %v) %s, want %d", request.head, res.StatusCode, res.Close, body, request.status)
		}
	}
}

func TestHandler_SharesTheMetricsOfItsRecorder(t *testing.T) {
	f := newFixture(recording, 0)
	f.post("", nil)
	f.Handler = must(NewHandler(HandlerOptions{Recorder: f.recorder}))
	f.post("", nil)
	if n := counterValues(t, f.metrics, "hoko_sale_refusals_total")[causeInvalid]; n != 2 {
		t.Errorf("%v rejections by two handlers, want 2", n)
	}
}

func Test403_CountsAndReturnsTheRejection(t *testing.T) {
	f := newFixture(recording, 0)
	r := httptest.NewRequest("POST", "/", strings.NewReader(aBody))
	w := httptest.NewRecorder()
	unscoped := &apikey.Key{ID: "key_2", WorkspaceID: "ws_1", Scopes: apikey.ScopesOf([]string{"linksRead"})}
	outcome, err := f.Serve(w, r.WithContext(apikey.NewContext(r.Context(), unscoped)))
	want := Rejection{Status: 403, Cause: "missing_scopes"}
	if rejected := outcome.Rejection; err != nil || rejected == nil || *rejected != want {
		t.Errorf("Serve returned %+v %v", rejected, err)
	}
	expect(t, w, 403, `{"error":{"en":"Missing required scopes","ar":"الصلاحيات المطلوبة مفقودة"},`+
		`"missingScopes":["conversionsWrite"]}`)
	expectHeader(t, w, "WWW-Authenticate", `Bearer error="insufficient_scope", scope="conversionsWrite"`)
	f.expectNoSale(t)
	f.expectRejection(t, "missing_scopes")
}

func TestOptions_RejectInvalidOnes(t *testing.T) {
	if _, err := NewRecorder(nil, RecorderOptions{Timeout: -1}); err == nil {
		t.Error("NewRecorder accepts a negative timeout")
	}
	if _, err := NewHandler(HandlerOptions{}); err == nil {
		t.Error("NewHandler accepts no recorder")
	}
	if _, err := NewHandler(HandlerOptions{Recorder: new(Recorder), BodyTimeout: -1}); err == nil {
		t.Error("NewHandler accepts a negative body timeout")
	}
}

func Test201_ReturnsTheRecordedSale(t *testing.T) {
	f := newFixture(recording, 0)
	w := f.post(aBody, nil)
	expect(t, w, 201, string(AppendResponse(nil, publishedSale())))

	sales := f.sales()
	if len(sales) != 1 {
		t.Fatalf("%d sales", len(sales))
	}
	s := sales[0]
	if s.WorkspaceID != "ws_1" || s.IdempotencyKey != "" || s.Request.CustomerExternalID != "customer_123" ||
		s.Request.Amount != 12900 {
		t.Errorf("the store got %+v of %+v", s.Request, s)
	}
	for name, want := range map[string]string{
		"Content-Length":       strconv.Itoa(w.Body.Len()),
		"Hoko-Sale-Id":         s.ID.String(),
		"Hoko-Attribution":     "latest-lead",
		"Idempotency-Replayed": "",
		"Hoko-Reason":          "",
	} {
		expectHeader(t, w, name, want)
	}
}

func Test201_NamesTheAttribution(t *testing.T) {
	for _, attribution := range []Attribution{LeadEvent, Click, LatestLead} {
		w := newFixture(func(context.Context, *Sale) (*Recorded, error) {
			recorded := publishedSale()
			recorded.Attribution = attribution
			return recorded, nil
		}, 0).post(aBody, nil)
		expectHeader(t, w, "Hoko-Attribution", string(attribution))
	}
}

func Test201_MarksAReplay(t *testing.T) {
	first := publishedSale()
	first.Replayed = true
	f := newFixture(func(context.Context, *Sale) (*Recorded, error) { return first, nil }, 0)
	w := f.post(aBody, http.Header{"Idempotency-Key": {"once"}})
	expect(t, w, 201, string(AppendResponse(nil, first)))
	expectHeader(t, w, "Idempotency-Replayed", "true")
	expectHeader(t, w, "Hoko-Sale-Id", first.SaleID.String())
}

func Test201_KeepsTheIdempotencyKeyAsSent(t *testing.T) {
	for _, key := range []string{"a", `"8e03978e-40d5-43e8-bc93-6894a57f9324"`, "a, b", "a b", "~!",
		strings.Repeat("k", 255)} {
		f := newFixture(recording, 0)
		if w := f.post(aBody, http.Header{"Idempotency-Key": {key}}); w.Code != 201 {
			t.Errorf("%q: %d", key, w.Code)
			continue
		}
		if got := f.sales()[0].IdempotencyKey; got != key {
			t.Errorf("the store got %q, want %q", got, key)
		}
	}
}

func TestHandler_FinishesASaleWhoseClientHungUp(t *testing.T) {
	started, gone, outcome := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	f := newFixture(func(ctx context.Context, s *Sale) (*Recorded, error) {
		close(started)
		<-gone
		outcome <- ctx.Err()
		return recording(ctx, s)
	}, 0)
	answered := make(chan struct{})
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		context.AfterFunc(r.Context(), func() { close(gone) })
		f.ServeHTTP(w, r)
		close(answered)
	}))()
	c.send("Content-Length: 78", aBody)
	await(t, started)
	c.conn.Close()
	if err := await(t, outcome); err != nil {
		t.Errorf("the sale was aborted: %v", err)
	}
	await(t, answered)
}

func await[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(hangGuard):
		t.Fatal("timed out")
	}
	return v
}
