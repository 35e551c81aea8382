package sale

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/apikey"
)

// BenchmarkHandler measures a sale without its network and its database.
func BenchmarkHandler(b *testing.B) {
	recorder := newTestRecorder(recording, RecorderOptions{Metrics: prometheus.NewRegistry()})
	h := must(NewHandler(HandlerOptions{Recorder: recorder, BodyTimeout: time.Second}))
	body := strings.NewReader(aBody)
	r := httptest.NewRequest("POST", "/api/track/sale", nil)
	r = r.WithContext(apikey.NewContext(r.Context(), aKey))
	w := &discardWriter{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(aBody)
		r.Body = io.NopCloser(body)
		clear(w.header)
		if h.ServeHTTP(w, r); w.status != http.StatusCreated {
			b.Fatal(w.status)
		}
	}
}

type discardWriter struct {
	header http.Header
	status int
}

func (w *discardWriter) Header() http.Header         { return w.header }
func (w *discardWriter) WriteHeader(status int)      { w.status = status }
func (w *discardWriter) Write(p []byte) (int, error) { return len(p), nil }

func (w *discardWriter) SetReadDeadline(time.Time) error { return nil }
