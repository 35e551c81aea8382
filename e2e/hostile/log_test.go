package hostile

import (
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

// With the lines that docs/operations.md gives for it.
func TestAMisplacedKeyIsInNoLogThatIsFiltered(t *testing.T) {
	lines := regexp.MustCompile("(?s)```caddyfile\n{\n(\tlog {\n.*?)}\n```").FindStringSubmatch(harness.ReadRoot(t, "docs/operations.md"))
	if lines == nil {
		t.Fatal("docs/operations.md does not say how to filter the log")
	}
	s := harness.StartStack(t, harness.Replace("\tgrace_period", lines[1]+"\tgrace_period"))
	c := s.Client(t, "HTTP/1.1")
	key := "hoko_key_in_the_wrong_place"
	for _, path := range []string{"/api/track/sale", "/page"} {
		for _, header := range []string{"X-Api-Key", "Api-Key", "Authorization", "Proxy-Authorization", "Cookie"} {
			s.Call(t, c, "POST", path, harness.ValidSale, header, key)
		}
		for _, parameter := range []string{"key", "api_key", "apiKey", "api-key", "apikey", "x-api-key", "token", "access_token", "KEY"} {
			s.Call(t, c, "POST", path+"?a=b&"+parameter+"="+key+"&c=d", harness.ValidSale)
		}
	}
	s.Site.Close()
	failed := s.Call(t, c, "POST", "/page?api_key="+key, "", "X-Api-Key", key) // which Caddy logs twice
	last := s.Call(t, c, "GET", "/last?q=x&c=d", "")
	if failed.StatusCode != 502 || last.StatusCode != 502 {
		t.Fatal(failed.StatusCode, last.StatusCode)
	}
	s.Log.Wait(t, "handled request", `"uri":"/last?q=x&c=d"`) // what is no key is logged as it came
	for line := range strings.Lines(s.Log.String()) {
		if strings.Contains(line, key) {
			t.Error(line)
		}
	}
}
