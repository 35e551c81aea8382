package logencoder

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	edgerequest "hoko.to/edge/caddymodule/request"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/ratelimit"
	"hoko.to/edge/plugin/sale"
)

func BenchmarkAccessLog(b *testing.B)       { benchmarkAccessLog(b, newEncoder(b)) }
func BenchmarkAccessLog_Caddy(b *testing.B) { benchmarkAccessLog(b, caddysEncoder(b)) }

func benchmarkAccessLog(b *testing.B, encoder zapcore.Encoder) {
	r, fields := saleEntry()
	b.ReportAllocs()
	for b.Loop() {
		encodeRequest(b, encoder, r, fields)
	}
}

// encodeRequest encodes a line as Caddy does: the request goes to a clone, other fields to the
// entry.
func encodeRequest(tb testing.TB, encoder zapcore.Encoder, r *http.Request, fields []zapcore.Field) {
	clone := encoder.Clone()
	if err := clone.AddObject("request", caddyhttp.LoggableHTTPRequest{Request: r}); err != nil {
		tb.Fatal(err)
	}
	entry := zapcore.Entry{LoggerName: "http.log.access", Message: "handled request"}
	line, err := clone.EncodeEntry(entry, fields)
	if err != nil {
		tb.Fatal(err)
	}
	line.Free()
}

// saleEntry returns a sale's request and the other fields of its line in the access log.
func saleEntry() (*http.Request, []zapcore.Field) {
	r := httptest.NewRequest("POST", "/api/track/sale", nil)
	r.RemoteAddr = "192.0.2.1:50000"
	r.TLS = &tls.ConnectionState{
		Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256,
		NegotiatedProtocol: "http/1.1", ServerName: "example.com",
	}
	r.Header = http.Header{
		"Authorization": {"Bearer hoko_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"},
		"User-Agent":    {"shop/1.0"}, "Content-Length": {"300"},
		"Content-Type": {"application/json"}, "Accept-Encoding": {"gzip"}, "Accept": {"*/*"},
	}
	answer := http.Header{
		"Server": {"Caddy"}, "Alt-Svc": {`h3=":443"; ma=2592000`},
		"Content-Type": {"application/json"}, "Cache-Control": {"no-store"},
		"Content-Length": {"900"}, "Hoko-Attribution": {"known"},
		"Hoko-Sale-Id":      {"01900000-0000-7000-8000-000000000000"},
		"X-Request-Id":      {"6e0e6b3e-1111-4222-8333-444455556666"},
		"X-Ratelimit-Limit": {"600"}, "X-Ratelimit-Remaining": {"599"},
		"X-Ratelimit-Reset": {"1790000000"},
		"Ratelimit":         {`"default";r=599;t=1`}, "Ratelimit-Policy": {`"default";q=600;w=60`},
	}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, new(caddyhttp.Server))
	return r, []zapcore.Field{
		zap.Int("bytes_read", 300), zap.String("user_id", "key_1"), zap.Duration("duration", 5*time.Millisecond),
		zap.Int("size", 900), zap.Int("status", 201),
		zap.Object("resp_headers", caddyhttp.LoggableHTTPHeader{Header: answer}),
		zap.String("uuid", "6e0e6b3e-1111-4222-8333-444455556666"), zap.Inline(record(r)),
	}
}

// record returns what the edge logs about a sale.
func record(r *http.Request) *edgerequest.Record {
	rec, _ := edgerequest.Begin(httptest.NewRecorder(), r)
	defer rec.End(r, nil)
	now := time.Now()
	rec.Authenticated(r, apikey.FoundInCache, now)
	rec.SetKey(r, &apikey.Key{ID: "key_1", WorkspaceID: "ws_1"})
	rec.SetLimit(ratelimit.Decision{
		Evaluated: true, Source: ratelimit.FromRedis, State: ratelimit.State{Remaining: 599}},
		now, now.Add(123*time.Microsecond))
	rec.SetSale(sale.Outcome{
		SaleID: "01900000-0000-7000-8000-000000000000", Recorded: &sale.Recorded{Attribution: sale.Click},
		Timing: sale.Timing{Queue: 456 * time.Microsecond, Commit: 1789 * time.Microsecond},
	})
	rec.Answered(edgerequest.Sale, http.StatusCreated)
	return rec
}

func newEncoder(tb testing.TB) zapcore.Encoder {
	tb.Helper()
	e := new(Encoder)
	if err := e.Provision(caddy.Context{}); err != nil {
		tb.Fatal(err)
	}
	return e
}

func caddysEncoder(tb testing.TB) zapcore.Encoder {
	tb.Helper()
	e := new(logging.JSONEncoder)
	if err := e.Provision(caddy.Context{}); err != nil {
		tb.Fatal(err)
	}
	return e
}
