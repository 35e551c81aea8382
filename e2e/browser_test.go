package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The lines that docs/browsers.md gives, put where it says.
func TestThePagesOfAnAllowedOriginMayCall(t *testing.T) {
	doc, err := os.ReadFile("../docs/browsers.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile("(?s)```caddyfile\n(.*?)```").FindSubmatch(doc)[1]
	s := startStack(t, replace("\t\tapi_key_auth @sale {", string(lines)+"\n\t\tapi_key_auth @sale {"))
	c := s.client(t, "HTTP/2.0")
	const shop = "https://shop.example.com"

	preflight := s.call(t, c, "OPTIONS", "/api/track/sale", "", "Origin", shop, "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,content-type,idempotency-key")
	if preflight.StatusCode != 204 {
		t.Fatalf("the preflight got %d %s", preflight.StatusCode, preflight.body)
	}
	wantHeader(t, preflight, "Access-Control-Allow-Origin", shop)
	wantHeader(t, preflight, "Access-Control-Allow-Methods", "POST")
	wantHeader(t, preflight, "Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key")

	sold := s.sell(t, c, validSale, "Origin", shop)
	wantAnswer(t, sold, 201, publishedOK)
	refused := s.sell(t, c, "{}", "Origin", shop)
	wantAnswer(t, refused, 400, body400)
	for _, got := range []answer{sold, refused} {
		wantHeader(t, got, "Access-Control-Allow-Origin", shop)
		exposed := got.Header.Get("Access-Control-Expose-Headers")
		for name := range got.Header {
			if (strings.HasPrefix(name, "Hoko-") || strings.Contains(name, "Ratelimit")) && !strings.Contains(strings.ToLower(exposed), strings.ToLower(name)) {
				t.Errorf("%s is not exposed", name)
			}
		}
	}
	if got := s.sell(t, c, validSale, "Origin", "https://evil.example"); got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("another origin is allowed")
	}
}
