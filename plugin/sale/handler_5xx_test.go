package sale

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/apikey"
)

func Test5xx_AreReturnedWithTheirCauseAndAnsweredByRow(t *testing.T) {
	refusedByDatabase := errors.New("value out of range")
	for name, failure := range map[string]struct {
		err    error
		row    *apierror.Error
		status int
		body   string
	}{
		"500": {refusedByDatabase, apierror.Internal, 500, `{"error":{"en":"Internal server error","ar":"خطأ داخلي في الخادم"}}`},
		"503": {fmt.Errorf("%w: queue is full", ErrNotRecorded), apierror.Unavailable, 503, `{"error":{"en":"Service temporarily unavailable","ar":"الخدمة غير متاحة مؤقتًا"}}`},
		"504": {fmt.Errorf("%w: connection lost", ErrOutcomeUnknown), apierror.GatewayTimeout, 504, `{"error":{"en":"Gateway timeout","ar":"انتهت مهلة البوابة"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(func(context.Context, *Sale) (*Recorded, error) { return nil, failure.err }, 0)
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", "/", strings.NewReader(aBody))
			err := f.Serve(w, r.WithContext(apikey.NewContext(r.Context(), aKey)))
			var returned *apierror.Failure
			if !errors.As(err, &returned) || returned.Err != failure.row || !errors.Is(err, failure.err) {
				t.Errorf("Serve returned %v, want %v with its cause", err, failure.row)
			}
			if w.Body.Len() != 0 {
				t.Errorf("Serve wrote %s", w.Body)
			}
			expectFailureHeaders(t, w, failure.status, f.sales()[0])

			w = f.post(aBody, nil)
			expect(t, w, failure.status, failure.body)
			expectFailureHeaders(t, w, failure.status, f.sales()[1])
			if !strings.Contains(f.log.String(), failure.err.Error()) {
				t.Errorf("the log lacks the cause: %s", f.log)
			}
		})
	}
}

func expectFailureHeaders(t *testing.T, w *httptest.ResponseRecorder, status int, s *Sale) {
	t.Helper()
	saleID, retryAfter := "", ""
	switch status {
	case 503:
		retryAfter = "1"
	case 504:
		saleID = s.ID.String()
	}
	if got := w.Header().Get("Hoko-Sale-Id"); got != saleID {
		t.Errorf("Hoko-Sale-Id %q, want %q", got, saleID)
	}
	if got := w.Header().Get("Retry-After"); got != retryAfter {
		t.Errorf("Retry-After %q, want %q", got, retryAfter)
	}
}

func Test500_NamesTheMissingAuthentication(t *testing.T) {
	f := newFixture(recording, 0)
	w := httptest.NewRecorder()
	f.Handler.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(aBody)))
	expect(t, w, 500, `{"error":{"en":"Internal server error","ar":"خطأ داخلي في الخادم"}}`)
	if !strings.Contains(f.log.String(), "api_key_auth") {
		t.Errorf("the log does not name api_key_auth: %s", f.log)
	}
	if n := len(f.sales()); n != 0 {
		t.Errorf("%d sales reached the store", n)
	}
}
