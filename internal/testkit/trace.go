package testkit

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// Trace records the spans of a request.
type Trace struct {
	request  trace.Span
	recorder *tracetest.SpanRecorder
}

// StartTrace returns a copy of ctx with the span of a request, as Caddy's tracing starts it.
func StartTrace(ctx context.Context) (context.Context, *Trace) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))
	ctx, request := provider.Tracer("caddy").Start(ctx, "request")
	return ctx, &Trace{request, recorder}
}

// End ends the span of the request.
func (t *Trace) End() { t.request.End() }

// Tree returns the spans below the request that have ended, by name, each with the type of its
// error and what it contains: lookup!timeout[query!timeout].
func (t *Trace) Tree() string { return t.below(t.request.SpanContext().SpanID()) }

func (t *Trace) below(parent trace.SpanID) string {
	var texts []string
	for _, span := range t.recorder.Ended() {
		if span.Parent().SpanID() != parent {
			continue
		}
		text := span.Name()
		if span.Status().Code == codes.Error {
			text += "!"
		}
		for _, a := range span.Attributes() {
			if a.Key == "error.type" {
				text += a.Value.AsString()
			}
		}
		if children := t.below(span.SpanContext().SpanID()); children != "" {
			text += "[" + children + "]"
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}
