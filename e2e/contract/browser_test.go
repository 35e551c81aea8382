package contract

import (
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

// Uses the lines of docs/browsers.md, at the place that it names.
func TestCORS_AllowedOriginMayCall(t *testing.T) {
	doc := harness.ReadRoot(t, "docs/browsers.md")
	lines := regexp.MustCompile("(?s)```caddyfile\n(.*?)```").FindStringSubmatch(doc)[1]
	s := harness.StartStack(t, harness.Replace("\t\tapi_key_auth @sale {", lines+"\n\t\tapi_key_auth @sale {"))
	c := s.Client(t, "HTTP/2.0")
	const shop = "https://shop.example.com"

	preflight := s.Call(t, c, "OPTIONS", "/api/track/sale", "", "Origin", shop, "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,content-type,idempotency-key")
	harness.WantStatus(t, preflight, 204)
	harness.WantHeader(t, preflight, "Access-Control-Allow-Origin", shop)
	harness.WantHeader(t, preflight, "Access-Control-Allow-Methods", "POST")
	harness.WantHeader(t, preflight, "Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key")

	sold := s.Sell(t, c, harness.ValidSale, "Origin", shop)
	harness.WantAnswer(t, sold, 201, harness.PublishedOK)
	rejected := s.Sell(t, c, "{}", "Origin", shop)
	harness.WantAnswer(t, rejected, 400, harness.Body400)
	for _, got := range []harness.Answer{sold, rejected} {
		harness.WantHeader(t, got, "Access-Control-Allow-Origin", shop)
		exposed := got.Header.Get("Access-Control-Expose-Headers")
		for name := range got.Header {
			if (strings.HasPrefix(name, "Hoko-") || strings.Contains(name, "Ratelimit")) &&
				!strings.Contains(strings.ToLower(exposed), strings.ToLower(name)) {
				t.Errorf("%s is not exposed", name)
			}
		}
	}
	got := s.Sell(t, c, harness.ValidSale, "Origin", "https://evil.example")
	if got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("another origin is allowed")
	}
}
