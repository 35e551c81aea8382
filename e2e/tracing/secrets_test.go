package tracing

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"hoko.to/edge/internal/testenv"
)

var wholeKey = regexp.MustCompile(`hoko_[0-9A-Za-z]{43}`)

// wantNoSecrets fails the test if the edge has exported a key, a connection string or data of a
// customer.
func (s *stack) wantNoSecrets(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, body := range s.bodies {
		if key := wholeKey.Find(body); key != nil {
			t.Errorf("exported the key %s", key)
		}
		for _, secret := range []string{
			"john@example.com", "John Doe", "customer_123", "postgres://", "redis://", "order 1",
		} {
			if bytes.Contains(body, []byte(secret)) {
				t.Errorf("exported %s", secret)
			}
		}
	}
}

func TestTraces_HoldNoKey(t *testing.T) {
	s := startSeeded(t, testenv.Redis(t), nil)
	for path, headers := range map[string][]string{
		"/page?key=" + fullKey:    nil,
		"/page/" + fullKey + "/x": nil,
		"/%68oko_" + fullKey[5:]:  nil,
		"/header": {
			"Referer", "https://example.com/" + fullKey, "Cookie", "key=" + fullKey, "X-Api-Key", fullKey,
			"X-Forwarded-For", fullKey, "Tracestate", "a=" + fullKey, "Baggage", "a=" + fullKey,
			"Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
		},
	} {
		got := s.Call(t, s.client, "GET", path, "", append(headers, "User-Agent", "reader "+fullKey)...)
		if got.StatusCode != 200 {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	masked := func(span *tracepb.Span) bool {
		return strings.Contains(text(span, "user_agent.original"), "reader hoko_Full***")
	}
	testenv.Until(t, "all requests arrive with a masked key", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(slices.DeleteFunc(slices.Clone(s.spans), func(s *tracepb.Span) bool { return !masked(s) })) == 4
	})
	s.wantNoSecrets(t)
}
