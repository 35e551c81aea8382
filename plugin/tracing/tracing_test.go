package tracing_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"hoko.to/edge/plugin/tracing"
)

func TestStart_ChildOfTheRequest(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	ctx, request := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("test").Start(t.Context(), "request")
	child, span := tracing.Start(ctx, "lookup")
	_, grandchild := tracing.Start(child, "query")
	tracing.End(grandchild, nil)
	tracing.End(span, errors.New("refused"))
	start := time.Now()
	tracing.Add(ctx, "queue", start, start.Add(time.Second))

	ended := spans.Ended()
	if len(ended) != 3 {
		t.Fatalf("%d spans, want 3", len(ended))
	}
	query, lookup, queue := ended[0], ended[1], ended[2]
	if query.Parent().SpanID() != lookup.SpanContext().SpanID() || lookup.Parent().SpanID() != request.SpanContext().SpanID() {
		t.Error("spans are not nested as they were started")
	}
	if status := lookup.Status(); status.Code != codes.Error || status.Description != "refused" {
		t.Errorf("the failed span has status %v", status)
	}
	if queue.Name() != "queue" || queue.EndTime().Sub(queue.StartTime()) != time.Second {
		t.Errorf("added %s of %s", queue.Name(), queue.EndTime().Sub(queue.StartTime()))
	}
}

func TestStartShared_LinksToEachRequest(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("test")
	_, first := tracer.Start(t.Context(), "first")
	_, second := tracer.Start(t.Context(), "second")
	untraced := trace.SpanFromContext(t.Context())
	tracing.End(tracing.StartShared("batch", slices.Values([]trace.Span{nil, untraced, first, second})), nil)
	batch := spans.Ended()[0]
	links := batch.Links()
	if batch.Parent().SpanID() != first.SpanContext().SpanID() || len(links) != 2 ||
		!links[0].SpanContext.Equal(first.SpanContext()) || !links[1].SpanContext.Equal(second.SpanContext()) {
		t.Errorf("parent %v, links %v", batch.Parent(), links)
	}
	if span := tracing.StartShared("batch", slices.Values([]trace.Span{nil, untraced})); span.IsRecording() {
		t.Error("a batch without a traced request is traced")
	}
}

func TestStart_UntracedRequestCostsNoAllocation(t *testing.T) {
	unsampled, _ := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())).Tracer("test").Start(t.Context(), "request")
	for name, ctx := range map[string]context.Context{"tracing off": t.Context(), "not sampled": unsampled} {
		if n := testing.AllocsPerRun(100, func() {
			ctx, span := tracing.Start(ctx, "lookup")
			tracing.End(span, ctx.Err())
			tracing.Add(ctx, "queue", time.Time{}, time.Time{})
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
