package tracing

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// collector receives traces by OTLP over HTTP.
type collector struct {
	address string
	mu      sync.Mutex
	bodies  [][]byte // of its requests
	spans   []*tracepb.Span
}

func startCollector(t testing.TB) *collector {
	t.Helper()
	c := new(collector)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var export collectorpb.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bodies = append(c.bodies, body)
		for _, resource := range export.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	c.address = server.URL
	return c
}

// env returns the variables of docs/tracing.md that make an edge export to the collector.
func (c *collector) env() []string {
	return []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.address, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_SERVICE_NAME=hoko-edge", "OTEL_BSP_SCHEDULE_DELAY=50",
	}
}

// trace is the spans of a trace, by ID.
type trace map[string]*tracepb.Span

// traceOf waits until the span of the request with this User-Agent has arrived, and others hold
// those that the test waits for. It returns the trace and the span of the request.
func (c *collector) traceOf(t testing.TB, agent string, complete func(trace) bool) (trace, *tracepb.Span) {
	t.Helper()
	var all trace
	var request *tracepb.Span
	testenv.Until(t, "the trace of "+agent+" arrives", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.IndexFunc(c.spans, func(s *tracepb.Span) bool { return text(s, "user_agent.original") == agent })
		if i < 0 {
			return false
		}
		request, all = c.spans[i], trace{}
		for _, span := range c.spans {
			if bytes.Equal(span.TraceId, request.TraceId) {
				all[hex.EncodeToString(span.SpanId)] = span
			}
		}
		return complete == nil || complete(all)
	})
	return all, request
}

// wantTree waits until the trace of the request with this User-Agent is this one.
func (c *collector) wantTree(t testing.TB, agent, want string) (trace, *tracepb.Span) {
	t.Helper()
	got := "nothing"
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the trace of %s was %s, want %s", agent, got, want)
		}
	})
	return c.traceOf(t, agent, func(all trace) bool {
		got = all.tree(nil)
		return got == want
	})
}

// tree returns the spans below a parent, by name, each with what it contains and the type of its
// error: request[rate limit[EVALSHA!timeout]].
func (all trace) tree(parent []byte) string {
	var texts []string
	for _, span := range all {
		if !bytes.Equal(span.ParentSpanId, parent) {
			continue
		}
		name := span.Name
		if failed := text(span, "error.type"); failed != "" {
			name += "!" + failed
		}
		if failed := span.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR; failed != strings.Contains(name, "!") {
			name += fmt.Sprintf(" with status %v", span.Status)
		}
		if children := all.tree(span.SpanId); children != "" {
			name += "[" + children + "]"
		}
		texts = append(texts, name)
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}

// named returns the only span with a name.
func (all trace) named(t testing.TB, name string) *tracepb.Span {
	t.Helper()
	var found *tracepb.Span
	for _, span := range all {
		if span.Name != name {
			continue
		}
		if found != nil {
			t.Fatalf("several spans %s", name)
		}
		found = span
	}
	if found == nil {
		t.Fatalf("no span %s", name)
	}
	return found
}

// text returns the value of an attribute, "" if the span does not have it.
func text(span *tracepb.Span, key string) string {
	for _, a := range span.Attributes {
		if a.Key != key {
			continue
		}
		switch value := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			return value.StringValue
		case *commonpb.AnyValue_IntValue:
			return strconv.FormatInt(value.IntValue, 10)
		case *commonpb.AnyValue_BoolValue:
			return strconv.FormatBool(value.BoolValue)
		}
	}
	return ""
}
