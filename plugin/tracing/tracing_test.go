package tracing_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"hoko.to/edge/plugin/tracing"
)

var (
	step  = tracing.Step("step")
	call  = tracing.PostgresCall("SELECT hoko.things")
	redis = tracing.RedisCall("PING")
)

func itself(s tracing.Span) tracing.Span { return s }

// startRequest starts the span of a request, as Caddy does.
func startRequest(t *testing.T, o ...sdk.TracerProviderOption) (context.Context, trace.Span) {
	return sdk.NewTracerProvider(o...).Tracer("caddy").Start(t.Context(), "request")
}

func record(t *testing.T) (ctx context.Context, request trace.Span, spans *tracetest.SpanRecorder) {
	spans = tracetest.NewSpanRecorder()
	ctx, request = startRequest(t, sdk.WithSpanProcessor(spans))
	return ctx, request, spans
}

func TestStart_NestsSpans(t *testing.T) {
	ctx, request, spans := record(t)
	start := time.Now().Add(-time.Hour)
	outer := tracing.Of(ctx).Start(step, time.Time{})
	inner := tracing.Of(outer.Context(ctx)).Start(call, start)
	inner.End(start.Add(time.Second), "23505")
	outer.End(time.Time{}, "")

	if n := len(spans.Ended()); n != 2 {
		t.Fatalf("%d spans, want 2", n)
	}
	query, lookup := spans.Ended()[0], spans.Ended()[1]
	if query.Parent().SpanID() != lookup.SpanContext().SpanID() ||
		lookup.Parent().SpanID() != request.SpanContext().SpanID() {
		t.Error("the spans are not nested as they were started")
	}
	if took := query.EndTime().Sub(query.StartTime()); !query.StartTime().Equal(start) || took != time.Second {
		t.Errorf("started at %s and took %s", query.StartTime(), took)
	}
	if began := request.(sdk.ReadOnlySpan).StartTime(); lookup.StartTime().Before(began) ||
		lookup.EndTime().Before(lookup.StartTime()) {
		t.Errorf("without a time, the span lasted from %s to %s", lookup.StartTime(), lookup.EndTime())
	}
	if query.Status() != (sdk.Status{Code: codes.Error}) || lookup.Status().Code != codes.Unset {
		t.Errorf("statuses %v and %v", query.Status(), lookup.Status())
	}
}

func TestCalls_FollowSemanticConventions(t *testing.T) {
	ctx, _, spans := record(t)
	for _, o := range []tracing.Operation{step, call, redis} {
		tracing.Of(ctx).Start(o, time.Time{}).End(time.Time{}, "timeout")
	}
	for i, want := range []struct {
		name       string
		kind       trace.SpanKind
		attributes string
	}{
		{"step", trace.SpanKindInternal, "error.type=timeout"},
		{"SELECT hoko.things", trace.SpanKindClient,
			"db.query.summary=SELECT hoko.things db.system.name=postgresql error.type=timeout"},
		{"PING", trace.SpanKindClient, "db.operation.name=PING db.system.name=redis error.type=timeout"},
	} {
		span := spans.Ended()[i]
		got := attributes(span)
		if span.Name() != want.name || span.SpanKind() != want.kind || got != want.attributes {
			t.Errorf("%s %s %s, want %+v", span.Name(), span.SpanKind(), got, want)
		}
	}
}

// attributes returns a span's attributes, sorted.
func attributes(span sdk.ReadOnlySpan) string {
	var texts []string
	for _, a := range span.Attributes() {
		texts = append(texts, string(a.Key)+"="+a.Value.String())
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

func TestStartShared_LinksToEachRequest(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("caddy")
	var requests []tracing.Span
	for range 4 {
		ctx, _ := tracer.Start(t.Context(), "request")
		requests = append(requests, tracing.Of(ctx))
	}
	requests[0] = tracing.Span{} // not traced
	requests[1].End(time.Time{}, "")
	batch := tracing.StartShared(call, time.Time{}, requests, itself)
	requests[2].Link(batch)
	batch.End(time.Time{}, "")
	requests[2].End(time.Time{}, "")
	requests[3].End(time.Time{}, "")

	span, first, second := spans.Ended()[1], spans.Ended()[2], spans.Ended()[3]
	links := span.Links()
	if span.Parent().SpanID() != first.SpanContext().SpanID() || len(links) != 2 ||
		!links[0].SpanContext.Equal(first.SpanContext()) || !links[1].SpanContext.Equal(second.SpanContext()) {
		t.Errorf("parent %v, links %v", span.Parent(), links)
	}
	if back := first.Links(); len(back) != 1 || !back[0].SpanContext.Equal(span.SpanContext()) {
		t.Errorf("the first request links to %v", back)
	}
	if tracing.StartShared(call, time.Time{}, requests, itself).Records() {
		t.Error("a batch without a request that is still traced is traced")
	}
}

// A lookup may continue after the request that started it.
func TestStart_NoChildAfterTheEnd(t *testing.T) {
	ctx, request, spans := record(t)
	before := tracing.Of(ctx)
	request.End()
	before.Start(step, time.Time{}).End(time.Time{}, "")
	tracing.Of(before.Context(t.Context())).Start(step, time.Time{}).End(time.Time{}, "")
	if n := len(spans.Ended()); n != 1 || before.Records() {
		t.Errorf("%d spans, want only the request's, which records: %t", n, before.Records())
	}
}

func TestRewrite_EachText(t *testing.T) {
	ctx, request, spans := record(t)
	request.SetAttributes(attribute.String("a", "secret"), attribute.Int("b", 1), attribute.String("c", "text"))
	tracing.Of(ctx).Rewrite(func(text string) string { return strings.ReplaceAll(text, "secret", "***") })
	request.End()
	if got := attributes(spans.Ended()[0]); got != "a=*** b=1 c=text" {
		t.Error(got)
	}
}

func TestSpan_UntracedCostsNoAllocation(t *testing.T) {
	unsampled, _ := startRequest(t, sdk.WithSampler(sdk.NeverSample()))
	for name, ctx := range map[string]context.Context{"tracing off": t.Context(), "not sampled": unsampled} {
		requests := []tracing.Span{tracing.Of(ctx)}
		if n := testing.AllocsPerRun(100, func() {
			span := tracing.Of(ctx).Start(call, time.Time{})
			span.SetString("hoko.text", "text")
			span.SetInt("hoko.number", 1)
			span.SetBool("hoko.truth", true)
			span.Rewrite(strings.ToUpper)
			span.Link(span)
			batch := tracing.StartShared(call, time.Time{}, requests, itself)
			batch.End(time.Time{}, "timeout")
			tracing.Of(span.Context(ctx)).End(time.Time{}, "timeout")
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
