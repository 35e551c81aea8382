package request

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"hoko.to/edge/plugin/tracing"
)

// newRequest returns a request as Caddy passes it to handlers.
func newRequest() *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{})
	return r.WithContext(ctx)
}

// counted returns how many responses of each part and class are counted, without those that are 0.
func counted(t *testing.T) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for part, byClass := range responses {
		for i, counter := range byClass {
			var sample dto.Metric
			if err := counter.Write(&sample); err != nil {
				t.Fatal(err)
			}
			if n := sample.GetCounter().GetValue(); n > 0 {
				all[string(part)+" "+classes[i]] = n
			}
		}
	}
	return all
}

func TestEnd_CountsTheResponse(t *testing.T) {
	write := func(statuses ...int) func(http.ResponseWriter, *Record) {
		return func(w http.ResponseWriter, _ *Record) {
			for _, status := range statuses {
				w.WriteHeader(status)
			}
		}
	}
	answered := func(part Part, status int) func(http.ResponseWriter, *Record) {
		return func(_ http.ResponseWriter, rec *Record) { rec.Answered(part, status) }
	}
	for _, tc := range []struct {
		what  string
		serve func(http.ResponseWriter, *Record)
		err   error
		want  string
	}{
		{"nothing", write(), nil, "site 2xx"},
		{"a page", write(200), nil, "site 2xx"},
		{"early hints", write(103, 304), nil, "site 3xx"},
		{"early hints and an error", write(103), caddyhttp.Error(502, errors.New("down")), "site 5xx"},
		{"an upgrade", write(101), nil, "site 1xx"},
		{"an unknown status", write(999), nil, "site 5xx"},
		{"the site is down", write(), caddyhttp.Error(502, errors.New("down")), "site 5xx"},
		{"the client has left", write(), caddyhttp.Error(499, context.Canceled), "site 4xx"},
		{"an error without a status", write(), caddyhttp.Error(0, errors.New("bug")), "site 5xx"},
		{"another error", write(), errors.New("bug"), "site 5xx"},
		{"an error after the header", write(200), errors.New("the body ended"), "site 2xx"},
		{"a panic", write(), ErrPanicked, "site 5xx"},
		{"a panic after the header", write(200), ErrPanicked, "site 2xx"},
		{"a 401", answered(Auth, 401), nil, "auth 4xx"},
		{"a 429", answered(Limit, 429), nil, "limit 4xx"},
		{"a sale", answered(Sale, 201), nil, "sale 2xx"},
		{"a failed sale", answered(Sale, 503), caddyhttp.Error(503, errors.New("down")), "sale 5xx"},
	} {
		want := counted(t)
		want[tc.want]++
		r := newRequest()
		rec, w := Begin(newPlainWriter(), r)
		inner, _ := Begin(w, r) // as request_fields and api_key_auth do
		tc.serve(w, rec)
		inner.End(r, tc.err)
		rec.End(r, tc.err)
		if got := counted(t); !maps.Equal(got, want) {
			t.Errorf("%s: counted %v, want %v", tc.what, got, want)
		}
	}
	var sample dto.Metric
	if err := inFlight.Write(&sample); err != nil || sample.GetGauge().GetValue() != 0 {
		t.Errorf("%v requests are in flight, %v", sample.GetGauge().GetValue(), err)
	}
}

// Error routes run after the handlers have returned, and may have request_fields or api_key_auth.
func TestEnd_ErrorRoutesDoNotCountAgain(t *testing.T) {
	want := counted(t)
	want["site 5xx"]++
	w, r := newPlainWriter(), newRequest()
	rec, _ := Begin(w, r)
	rec.End(r, caddyhttp.Error(502, errors.New("down")))
	again, _ := Begin(w, r)
	again.Answered(Auth, 401)
	again.End(r, nil)
	if got := counted(t); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestFailSpan_OnlyServerErrors(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want codes.Code
	}{
		{caddyhttp.Error(502, errors.New("down")), codes.Error},
		{errors.New("bug"), codes.Error},
		{caddyhttp.Error(405, errors.New("method")), codes.Unset},
	} {
		FailSpan(tracing.Span{}, tc.err) // not traced
		spans := tracetest.NewSpanRecorder()
		tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("")
		ctx, span := tracer.Start(t.Context(), "request")
		FailSpan(tracing.Of(ctx), tc.err)
		span.End()
		if got := spans.Ended()[0].Status().Code; got != tc.want {
			t.Errorf("%v: status %v, want %v", tc.err, got, tc.want)
		}
	}
}

// plainWriter is a ResponseWriter with what net/http's offers for HTTP/1.1. It accepts any status.
type plainWriter struct {
	*httptest.ResponseRecorder
	copied, hijacked bool
}

func newPlainWriter() *plainWriter { return &plainWriter{ResponseRecorder: httptest.NewRecorder()} }

func (w *plainWriter) WriteHeader(int) {}

func (w *plainWriter) ReadFrom(r io.Reader) (int64, error) {
	w.copied = true
	return io.Copy(w.Body, r)
}

func (w *plainWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return nil, nil, errors.New("nothing to hijack")
}

func TestBegin_KeepsWhatTheWriterOffers(t *testing.T) {
	for _, logged := range []bool{true, false} {
		plain, r := newPlainWriter(), newRequest()
		var outer http.ResponseWriter = plain
		if logged {
			outer = caddyhttp.NewResponseRecorder(plain, nil, nil) // as Caddy does for the access log
		}
		rec, w := Begin(outer, r)
		if logged && w != outer {
			t.Error("Begin wraps a writer that records already")
		}
		if n, err := io.Copy(w, onlyReader{strings.NewReader("page")}); n != 4 || err != nil || !plain.copied {
			t.Errorf("logged %t: copied %d %v, by ReadFrom %t", logged, n, err, plain.copied)
		}
		if err := http.NewResponseController(w).Flush(); err != nil || !plain.Flushed {
			t.Errorf("logged %t: flushed %t, %v", logged, plain.Flushed, err)
		}
		_, _, err := http.NewResponseController(w).Hijack()
		if err == nil || !plain.hijacked {
			t.Errorf("logged %t: hijacked %t, %v", logged, plain.hijacked, err)
		}
		rec.End(r, nil)
	}
}

type onlyReader struct{ io.Reader } // no WriterTo

// BenchmarkTrack measures what a request of the site costs that needs no key.
func BenchmarkTrack(b *testing.B) {
	w, r := caddyhttp.NewResponseRecorder(newPlainWriter(), nil, nil), newRequest()
	vars := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	w.WriteHeader(http.StatusOK)
	b.ReportAllocs()
	for b.Loop() {
		clear(vars)
		rec, _ := Begin(w, r)
		rec.End(r, nil)
	}
}
