// Package tracing starts the edge's OpenTelemetry spans, below the span of a request that is traced.
// Other requests cost a lookup in their context.
package tracing

import (
	"context"
	"iter"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

const scope = "hoko.to/edge"

// Start starts a child of the span of ctx and returns it with a context that holds it. If ctx has
// no span that records, it returns ctx and a span that does nothing.
func Start(ctx context.Context, name string) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, none
	}
	return parent.TracerProvider().Tracer(scope).Start(ctx, name)
}

// StartCall is Start for a call to a server.
func StartCall(ctx context.Context, name string) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, none
	}
	return parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
}

// StartShared starts a span for a call to a server on behalf of several requests: a child of the
// first of their spans that records, with a link to each. A nil span counts as one that does not.
func StartShared(name string, requests iter.Seq[trace.Span]) trace.Span {
	var parent trace.Span
	var links []trace.Link
	for span := range requests {
		if span == nil || !span.IsRecording() {
			continue
		}
		if parent == nil {
			parent = span
		}
		links = append(links, trace.Link{SpanContext: span.SpanContext()})
	}
	if parent == nil {
		return none
	}
	_, span := parent.TracerProvider().Tracer(scope).Start(trace.ContextWithSpan(context.Background(), parent), name,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...))
	return span
}

// Add adds a child of the span of ctx that has ended.
func Add(ctx context.Context, name string, start, end time.Time) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return
	}
	_, span := parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithTimestamp(start))
	span.End(trace.WithTimestamp(end))
}

// End ends a span, with err as its status if it failed.
func End(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// none is the span of a request that is not traced.
var none = trace.SpanFromContext(context.Background())
