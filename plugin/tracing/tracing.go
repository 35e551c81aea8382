// Package tracing adds the edge's OpenTelemetry spans to the traces that Caddy's `tracing` starts.
// A request that is not traced costs a lookup in its context, and no allocation. docs/tracing.md
// lists the spans.
//
// Errors have a type from a small set and no text, because the text of a database may quote a row.
package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Operation is what spans of the same name have in common.
type Operation struct {
	name    string
	options []trace.SpanStartOption
}

// Step returns an operation of the edge itself.
func Step(name string) Operation { return Operation{name: name} }

// PostgresCall returns a call to Postgres. The summary names the command and its main relation.
func PostgresCall(summary string) Operation {
	return call(summary, semconv.DBSystemNamePostgreSQL, semconv.DBQuerySummary(summary))
}

// RedisCall returns a call to Redis.
func RedisCall(command string) Operation {
	return call(command, semconv.DBSystemNameRedis, semconv.DBOperationName(command))
}

func call(name string, attributes ...attribute.KeyValue) Operation {
	return Operation{name, []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...),
	}}
}

// Span is a span that records. The zero Span is that of a request that is not traced, or whose span
// has ended; its methods do nothing.
type Span struct{ recording trace.Span }

// Of returns the span of ctx.
func Of(ctx context.Context) Span { return recording(trace.SpanFromContext(ctx)) }

func recording(span trace.Span) Span {
	if !span.IsRecording() {
		return Span{}
	}
	return Span{span}
}

// Records reports whether the span still records.
func (s Span) Records() bool { return s.recording != nil && s.recording.IsRecording() }

// Context returns ctx with the span.
func (s Span) Context(ctx context.Context) context.Context {
	if s.recording == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, s.recording)
}

// Start starts a child. The zero time means now.
func (s Span) Start(o Operation, at time.Time) Span {
	if !s.Records() {
		return Span{}
	}
	return s.start(o, at)
}

func (s Span) start(o Operation, at time.Time, links ...trace.Link) Span {
	options := append([]trace.SpanStartOption{trace.WithTimestamp(at), trace.WithLinks(links...)}, o.options...)
	tracer := s.recording.TracerProvider().Tracer("hoko.to/edge")
	_, child := tracer.Start(s.Context(context.Background()), o.name, options...)
	return recording(child)
}

// StartShared starts a span for several requests: a child of the first that is traced, with a link
// to each.
func StartShared[R any](o Operation, at time.Time, requests []R, spanOf func(R) Span) Span {
	var parent Span
	var links []trace.Link
	for _, request := range requests {
		span := spanOf(request)
		if !span.Records() {
			continue
		}
		if links == nil {
			parent = span
		}
		links = append(links, trace.Link{SpanContext: span.recording.SpanContext()})
	}
	if links == nil {
		return Span{}
	}
	return parent.start(o, at, links...)
}

// Link adds a link to another span, if that is not the zero Span.
func (s Span) Link(to Span) {
	if s.recording != nil && to.recording != nil {
		s.recording.AddLink(trace.Link{SpanContext: to.recording.SpanContext()})
	}
}

// SetString sets an attribute.
func (s Span) SetString(key, value string) {
	if s.recording != nil {
		s.recording.SetAttributes(attribute.String(key, value))
	}
}

// SetInt sets an attribute.
func (s Span) SetInt(key string, value int) {
	if s.recording != nil {
		s.recording.SetAttributes(attribute.Int(key, value))
	}
}

// SetBool sets an attribute.
func (s Span) SetBool(key string, value bool) {
	if s.recording != nil {
		s.recording.SetAttributes(attribute.Bool(key, value))
	}
}

// Fail gives the span the status Error, with the type of the error.
func (s Span) Fail(errorType string) {
	if s.recording != nil {
		s.recording.SetStatus(codes.Error, "")
		s.recording.SetAttributes(semconv.ErrorTypeKey.String(errorType))
	}
}

// End ends the span. The zero time means now. It fails the span if errorType is not "".
func (s Span) End(at time.Time, errorType string) {
	if s.recording == nil {
		return
	}
	if errorType != "" {
		s.Fail(errorType)
	}
	s.recording.End(trace.WithTimestamp(at))
}

// Rewrite replaces the text of each attribute that the span has.
func (s Span) Rewrite(replace func(string) string) {
	readable, ok := s.recording.(interface{ Attributes() []attribute.KeyValue })
	if !ok {
		return
	}
	for _, a := range readable.Attributes() {
		if a.Value.Type() != attribute.STRING {
			continue
		}
		if text := a.Value.AsString(); replace(text) != text {
			s.SetString(string(a.Key), replace(text))
		}
	}
}
