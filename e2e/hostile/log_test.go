package hostile

import (
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/plugin/postgres/admin"
)

// A key of the generated form never appears in the log, wherever a client writes it. Another key
// does not appear in places that are named like a secret. The harness checks all logs for the
// former.
func TestLog_MisplacedKey(t *testing.T) {
	s, c := harness.StartStackAndClient(t, "HTTP/1.1", nil)
	generated, other := admin.GenerateKey(), "a-key-of-another-form"
	for _, path := range []string{"/api/track/sale", "/page"} {
		for _, header := range []string{"X-Api-Key", "Api-Key", "Authorization", "Proxy-Authorization", "Cookie"} {
			s.Call(t, c, "POST", path, harness.ValidSale, header, other)
			s.Call(t, c, "POST", path, harness.ValidSale, header, generated)
		}
		for _, header := range []string{"User-Agent", "Referer", "Idempotency-Key", "X-Request-Id", "Content-Type"} {
			s.Call(t, c, "POST", path, harness.ValidSale, header, generated)
		}
		for _, parameter := range []string{"key", "api_key", "apiKey", "api-key", "x-api-key", "token",
			"access_token", "KEY"} {
			s.Call(t, c, "POST", path+"?a=b&"+parameter+"="+other+"&c=d", harness.ValidSale)
		}
		s.Call(t, c, "POST", path+"?a="+generated, harness.ValidSale)
		s.Call(t, c, "POST", path+"?a=%68"+generated[1:], harness.ValidSale)
		s.Call(t, c, "POST", path+"/"+generated, strings.Replace(harness.ValidSale, "usd", generated, 1))
		s.Call(t, c, generated, path, "")
	}
	s.Site.Close()
	// Caddy logs this twice
	failed := s.Call(t, c, "POST", "/page?api_key="+other+"&a="+generated, "", "X-Api-Key", other)
	last := s.Call(t, c, "GET", "/last?q=x&c=d", "")
	if failed.StatusCode != 502 || last.StatusCode != 502 {
		t.Fatal(failed.StatusCode, last.StatusCode)
	}
	s.Log.Wait(t, "handled request", `"uri":"/last?q=x&c=d"`) // other values are logged unchanged
	start := len("hoko_") + 4
	for line := range strings.Lines(s.Log.String()) {
		if strings.Contains(line, other) || strings.Contains(line, generated[start:]) {
			t.Error(line)
		}
	}
	if !strings.Contains(s.Log.String(), generated[:start]+"***") {
		t.Error("the log does not show which key was misplaced")
	}
}
