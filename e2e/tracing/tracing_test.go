package tracing

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// Keys of the form that the edge generates.
var (
	fullKey    = "hoko_" + strings.Repeat("Full", 10) + "Key"
	limitedKey = "hoko_" + strings.Repeat("Limi", 10) + "Key"
	unknownKey = "hoko_" + strings.Repeat("Unkn", 10) + "Key"
)

// stack is an edge that exports its traces to a collector.
type stack struct {
	*harness.Stack
	*collector
	client *http.Client
}

// startStack starts an edge with the lines of docs/tracing.md. edit changes its Caddyfile, too.
func startStack(t *testing.T, databaseURL, redisURL string, edit func(string) string) *stack {
	t.Helper()
	lines := regexp.MustCompile("(?s)```caddyfile\n(.*?)```").FindStringSubmatch(harness.ReadRoot(t, "docs/tracing.md"))
	if lines == nil {
		t.Fatal("docs/tracing.md has no Caddyfile")
	}
	collector, site := startCollector(t), harness.StartSite(t, nil)
	e := harness.Start(t, harness.Settings{
		DatabaseURL: databaseURL, RedisURL: redisURL, Upstream: site.Upstream(), Env: collector.env(),
		Edit: func(config string) string {
			config = harness.Replace("\troute {\n", "\troute {\n"+lines[1])(config)
			if edit != nil {
				config = edit(config)
			}
			return config
		},
	})
	s := &stack{Stack: &harness.Stack{Edge: e, Site: site, DSN: databaseURL}, collector: collector}
	s.client = s.Client(t, "HTTP/2.0")
	return s
}

// startSeeded is startStack with a database that has the keys.
func startSeeded(t *testing.T, redisURL string, edit func(string) string) *stack {
	t.Helper()
	dsn := testenv.Database(t)
	db := harness.Seed(t, dsn)
	db.AddKey(fullKey, "conversionsWrite")
	db.AddKey(limitedKey, "conversionsWrite")
	db.Exec(`UPDATE hoko.api_keys SET rate_limit = 1, rate_period = '1 day', rate_burst = 1 WHERE id = $1`,
		harness.KeyID(limitedKey))
	s := startStack(t, dsn, redisURL, edit)
	s.DB = db
	testenv.Until(t, "the listener is up", func() bool { return s.Listening(t, true) })
	return s
}

// sell posts a sale with a key and a User-Agent, by which its trace is found.
func (s *stack) sell(t testing.TB, agent, key, body string, headers ...string) int {
	t.Helper()
	headers = append([]string{"User-Agent", agent, "Authorization", "Bearer " + key}, headers...)
	return s.Call(t, s.client, "POST", "/api/track/sale", body, headers...).StatusCode
}

const (
	soldTree  = "request[INSERT hoko.sales, rate limit[EVALSHA], sale commit, sale queue]"
	firstTree = "request[INSERT hoko.sales, key lookup[SELECT hoko.api_keys], rate limit[EVALSHA], " +
		"sale commit, sale queue]"
)

func TestTraces_TreeOfEachRequest(t *testing.T) {
	s := startSeeded(t, testenv.Redis(t), nil)
	other := strings.Replace(harness.ValidSale, "12900", "1", 1)
	for _, tc := range []struct {
		name, key, body, idempotencyKey string
		status                          int
		tree                            string
		attributes                      string // of the last step
	}{
		{"first", fullKey, harness.ValidSale, "order 1", 201, firstTree, "sale commit hoko.outcome=recorded"},
		{"cached", fullKey, harness.ValidSale, "order 2", 201, soldTree, "INSERT hoko.sales hoko.sales=1"},
		{"duplicate", fullKey, harness.ValidSale, "order 1", 201, soldTree, "sale commit hoko.outcome=replayed"},
		{"mismatch", fullKey, other, "order 1", 422, soldTree, "sale commit hoko.outcome=idempotency_mismatch"},
		{"invalid", fullKey, "{}", "order 3", 400, "request[rate limit[EVALSHA]]", "rate limit hoko.allowed=true"},
		{"unknown", unknownKey, "{}", "order 4", 401, "request[key lookup[SELECT hoko.api_keys]]",
			"SELECT hoko.api_keys db.system.name=postgresql"},
		{"known to be unknown", unknownKey, "{}", "order 4", 401, "request", "request http.request.method=POST"},
		{"admitted", limitedKey, harness.ValidSale, "order 5", 201, firstTree, "rate limit hoko.limit=default"},
		{"denied", limitedKey, harness.ValidSale, "order 6", 429, "request[rate limit[EVALSHA]]",
			"rate limit hoko.limit_source=redis"},
		{"remembered", limitedKey, harness.ValidSale, "order 6", 429, "request[rate limit]",
			"rate limit hoko.limit_source=memory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := s.sell(t, tc.name, tc.key, tc.body, "Idempotency-Key", tc.idempotencyKey); got != tc.status {
				t.Fatalf("got %d, want %d", got, tc.status)
			}
			all, request := s.wantTree(t, tc.name, tc.tree)
			if got := text(request, "http.response.status_code"); got != fmt.Sprint(tc.status) {
				t.Errorf("the request has http.response.status_code %s, want %d", got, tc.status)
			}
			for _, span := range all {
				wantWithin(t, span, request)
			}
			parts := regexp.MustCompile(`^(.+) ([\w.]+)=(.+)$`).FindStringSubmatch(tc.attributes)
			if got := text(all.named(t, parts[1]), parts[2]); got != parts[3] {
				t.Errorf("%s is %q, want %s", parts[2], got, tc.attributes)
			}
		})
	}
	s.wantNoSecrets(t)
}

// wantWithin fails the test unless a span has the kind that its attributes imply and lies within
// that of its request. Steps that end with the answer may end a little later.
func wantWithin(t *testing.T, span, request *tracepb.Span) {
	t.Helper()
	kind := tracepb.Span_SPAN_KIND_INTERNAL
	switch {
	case span == request:
		kind = tracepb.Span_SPAN_KIND_SERVER
	case text(span, "db.system.name") != "":
		kind = tracepb.Span_SPAN_KIND_CLIENT
	}
	if span.Kind != kind {
		t.Errorf("%s has the kind %s, want %s", span.Name, span.Kind, kind)
	}
	if span.StartTimeUnixNano < request.StartTimeUnixNano || span.EndTimeUnixNano < span.StartTimeUnixNano ||
		span.Kind != tracepb.Span_SPAN_KIND_CLIENT && span.EndTimeUnixNano > request.EndTimeUnixNano {
		t.Errorf("%s lasts from %d to %d, its request from %d to %d", span.Name, span.StartTimeUnixNano,
			span.EndTimeUnixNano, request.StartTimeUnixNano, request.EndTimeUnixNano)
	}
}

// A lock on the table keeps the writer busy until all sales have arrived.
func TestTraces_BatchLinksToItsRequests(t *testing.T) {
	oneWriter := harness.Replace("\t\tguesses", "\t\tsales {\n\t\t\twriters 1\n\t\t}\n\t\tguesses")
	s := startSeeded(t, testenv.Redis(t), oneWriter)
	if got := s.sell(t, "first", fullKey, harness.ValidSale); got != 201 {
		t.Fatalf("got %d", got)
	}
	const sales = 5
	s.DB.Exec("BEGIN; LOCK TABLE hoko.sales IN SHARE MODE")
	var requests sync.WaitGroup
	agent := func(i int) string { return fmt.Sprintf("client %d", i) }
	for i := range sales {
		requests.Go(func() {
			if got := s.sell(t, agent(i), fullKey, harness.ValidSale); got != 201 {
				t.Errorf("sale %d: %d", i, got)
			}
		})
	}
	testenv.Until(t, "all sales wait", func() bool {
		return strings.Contains(s.AdminGet(t, "/hoko/"), fmt.Sprintf(`"active":%d,`, sales))
	})
	// The statement that runs now may have been sent before. The next one has all sales.
	const failures = `hoko_sale_statement_failures_total{class="55"}`
	before := s.Metric(t, failures)
	testenv.Until(t, "that statement has failed", func() bool { return s.Metric(t, failures) > before })
	s.DB.Exec("ROLLBACK")
	requests.Wait()

	var statement *tracepb.Span // the one that recorded the sales, in the trace of one of them
	var commits, want []string
	for i := range sales {
		all, request := s.traceOf(t, agent(i), nil)
		want = append(want, hex.EncodeToString(request.SpanId))
		for _, link := range all.named(t, "sale commit").Links {
			commits = append(commits, hex.EncodeToString(link.SpanId))
		}
		for _, span := range all {
			if span.Name != "INSERT hoko.sales" || text(span, "error.type") == "55P03" { // while the table was locked
				continue
			}
			if statement != nil {
				t.Error("two statements have recorded sales")
			}
			statement = span
		}
	}
	if statement == nil || text(statement, "hoko.sales") != fmt.Sprint(sales) {
		t.Fatalf("no statement has recorded all sales: %v", statement)
	}
	if only := slices.Repeat([]string{hex.EncodeToString(statement.SpanId)}, sales); !slices.Equal(commits, only) {
		t.Errorf("the commits link to %s, want %s", commits, only)
	}
	var linked []string
	for _, link := range statement.Links {
		linked = append(linked, hex.EncodeToString(link.SpanId))
	}
	slices.Sort(linked)
	slices.Sort(want)
	if !slices.Equal(linked, want) || !slices.Contains(want, hex.EncodeToString(statement.ParentSpanId)) {
		t.Errorf("the statement, below %x, links to %s, want %s", statement.ParentSpanId, linked, want)
	}
}

// The commit of a sale whose customer is locked lasts until the slow lane has recorded it.
func TestTraces_SlowLane(t *testing.T) {
	s := startSeeded(t, testenv.Redis(t), nil)
	s.DB.Exec("BEGIN; SELECT FROM hoko.customers WHERE id = 'customer_123' FOR UPDATE")
	status := make(chan int, 1)
	go func() {
		renamed := strings.Replace(harness.ValidSale, "John Doe", "John Smith", 1)
		status <- s.sell(t, "slow", fullKey, renamed)
	}()
	testenv.Until(t, "the sale is in the slow lane", func() bool { return s.Backends(t)[0].Sales.SlowCustomers == 1 })
	s.DB.Exec("ROLLBACK")
	if got := <-status; got != 201 {
		t.Fatalf("got %d", got)
	}
	all, request := s.traceOf(t, "slow", nil)
	commit := all.named(t, "sale commit")
	statements, last := 0, (*tracepb.Span)(nil)
	for _, span := range all {
		if span.Name != "INSERT hoko.sales" {
			continue
		}
		statements++
		if last == nil || span.StartTimeUnixNano > last.StartTimeUnixNano {
			last = span
		}
		if len(span.Links) != 1 || !bytes.Equal(span.Links[0].SpanId, request.SpanId) ||
			span.StartTimeUnixNano < commit.StartTimeUnixNano {
			t.Errorf("a statement links to %v, or started before the commit", span.Links)
		}
	}
	if statements < 2 || len(commit.Links) != 1 || !bytes.Equal(commit.Links[0].SpanId, last.SpanId) {
		t.Errorf("sale commit links to %v, not to the last of %d statements", commit.Links, statements)
	}
}

func TestTraces_ContextReachesTheSite(t *testing.T) {
	s := startSeeded(t, testenv.Redis(t), nil)
	got := s.Call(t, s.client, "GET", "/page?q=1", "", "User-Agent", "reader",
		"Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-00", "Tracestate", "a=b", "Baggage", "c=d")
	harness.WantStatus(t, got, 200)
	_, request := s.wantTree(t, "reader", "request")
	header := s.Site.Requests()[0].Header
	want := fmt.Sprintf("00-%x-%x-01", request.TraceId, request.SpanId)
	if header.Get("Traceparent") != want || header.Get("Tracestate") != "" || header.Get("Baggage") != "" {
		t.Errorf("the site got %q %q %q, want %s only", header.Get("Traceparent"), header.Get("Tracestate"),
			header.Get("Baggage"), want)
	}
	s.Log.Wait(t, fmt.Sprintf(`"traceID":"%x"`, request.TraceId))
}

// A load balancer's trace continues if the Caddyfile keeps its headers.
func TestTraces_RedisDown(t *testing.T) {
	s := startSeeded(t, "redis://127.0.0.1:1", func(config string) string {
		return regexp.MustCompile(`request_fields -Traceparent.*\n`).ReplaceAllString(config, "")
	})
	if got := s.sell(t, "first", fullKey, harness.ValidSale,
		"Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"); got != 201 {
		t.Fatalf("got %d", got)
	}
	all, request := s.traceOf(t, "first", func(all trace) bool { return len(all) == 8 })
	if id := hex.EncodeToString(request.TraceId); id != "0123456789abcdef0123456789abcdef" {
		t.Errorf("the trace is %s", id)
	}
	parent, _ := hex.DecodeString("0123456789abcdef")
	want := strings.Replace(firstTree, "EVALSHA", "EVALSHA!refused", 1)
	if got := all.tree(parent); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if source := text(all.named(t, "rate limit"), "hoko.limit_source"); source != "local" {
		t.Errorf("the limit's source is %s", source)
	}
	if got := s.sell(t, "later", fullKey, harness.ValidSale); got != 201 {
		t.Fatalf("got %d", got)
	}
	s.wantTree(t, "later", strings.Replace(soldTree, "[EVALSHA]", "", 1))
}

func TestTraces_PostgresDown(t *testing.T) {
	dsn := testenv.Database(t)
	harness.Seed(t, dsn).AddKey(fullKey, "conversionsWrite")
	between, through := testenv.Relay(t, dsn)
	testenv.NoError(t, between.Open())
	s := startStack(t, through, testenv.Redis(t), nil)
	if got := s.sell(t, "before", fullKey, harness.ValidSale); got != 201 {
		t.Fatalf("got %d", got)
	}
	between.Close()
	for _, tc := range []struct{ agent, key, tree string }{
		{"cached", fullKey, `^request!503\[.*rate limit\[EVALSHA\], .*sale (queue|commit)!not_recorded\]$`},
		{"not cached", unknownKey,
			`^request!503\[key lookup!unavailable\[(SELECT hoko.api_keys!connection(, )?)+\]\]$`},
	} {
		if got := s.sell(t, tc.agent, tc.key, harness.ValidSale); got != 503 {
			t.Errorf("%s: got %d, want 503", tc.agent, got)
		}
		all, _ := s.traceOf(t, tc.agent, nil)
		if got := all.tree(nil); !regexp.MustCompile(tc.tree).MatchString(got) {
			t.Errorf("%s: got %s, want %s", tc.agent, got, tc.tree)
		}
	}
	s.wantNoSecrets(t)
}
