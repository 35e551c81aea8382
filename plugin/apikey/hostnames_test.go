package apikey

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAllowedHostnames(t *testing.T) {
	origin := func(values ...string) http.Header { return http.Header{"Origin": values} }
	referer := func(values ...string) http.Header { return http.Header{"Referer": values} }
	both := func(origin, referer string) http.Header {
		return http.Header{"Origin": {origin}, "Referer": {referer}}
	}
	list := func(patterns ...string) []string { return patterns }
	tooLong := strings.Repeat("a", 5000)
	tests := []struct {
		name    string
		allowed []string
		header  http.Header
		want    bool
	}{
		{"empty list allows any", nil, origin("https://evil.com"), true},
		{"empty list allows null", list(), origin("null"), true},
		{"neither header", list("example.com"), http.Header{}, true},

		{"exact", list("example.com"), origin("https://example.com"), true},
		{"any scheme", list("example.com"), origin("http://example.com"), true},
		{"port ignored", list("example.com"), origin("https://example.com:8443"), true},
		{"case ignored", list("example.com"), origin("HTTPS://EXAMPLE.com"), true},
		{"trailing dot ignored", list("example.com"), origin("https://example.com.:443"), true},
		{"pattern's case, port and dot ignored", list("EXAMPLE.com.:8080"), origin("https://example.com"), true},
		{"second of the list", list("a.com", "b.com"), origin("https://b.com"), true},
		{"not a subdomain", list("example.com"), origin("https://www.example.com"), false},
		{"not the parent", list("api.example.com"), origin("https://example.com"), false},
		{"same suffix, other name", list("example.com"), origin("https://evilexample.com"), false},
		{"same prefix, other name", list("example.com"), origin("https://example.com.evil.com"), false},
		{"two trailing dots", list("example.com"), origin("https://example.com.."), false},

		{"wildcard, one level", list("*.example.com"), origin("https://api.example.com"), true},
		{"wildcard, three levels", list("*.example.com"), origin("https://a.b.c.example.com:81"), true},
		{"wildcard, case and dot", list("*.Example.com."), origin("https://API.example.COM."), true},
		{"wildcard, not the apex", list("*.example.com"), origin("https://example.com"), false},
		{"wildcard, not an empty label", list("*.example.com"), origin("https://.example.com"), false},
		{"wildcard, same suffix", list("*.example.com"), origin("https://evilexample.com"), false},
		{"wildcard, same prefix", list("*.example.com"), origin("https://a.example.com.evil.com"), false},
		{"wildcard and apex both listed", list("*.example.com", "example.com"), origin("https://example.com"), true},
		{"wildcard within a label", list("*example.com"), origin("https://evilexample.com"), false},
		{"wildcard at the end", list("example.*"), origin("https://example.org"), false},
		{"star alone", list("*"), origin("https://example.com"), false},
		{"wildcard without a name", list("*."), origin("https://example.com.."), false},
		{"empty pattern allows nothing", list(""), origin("https://example.com"), false},
		{"empty pattern does not match an empty host", list(""), origin("https://"), false},
		{"blank pattern allows nothing", list(" "), origin("https://example.com"), false},

		{"pattern too long for a host name", list(tooLong), origin("https://" + tooLong), false},

		{"null", list("example.com"), origin("null"), false},
		{"null as a pattern", list("null"), origin("null"), false},
		{"empty origin", list("example.com"), origin(""), false},
		{"unparsable", list("example.com"), origin("https://example.com:port"), false},
		{"no scheme", list("example.com"), origin("example.com"), false},
		{"no scheme, slashes", list("example.com"), origin("//example.com"), false},
		{"host and port without a scheme", list("example.com"), origin("example.com:443"), false},
		{"two origins", list("example.com"), origin("https://example.com", "https://example.com"), false},
		{"two origins in one value", list("example.com"), origin("https://example.com https://evil.com"), false},
		{"comma", list("example.com"), origin("https://example.com,https://evil.com"), false},
		{"control characters", list("example.com"), origin("https://example.com\x00.evil.com"), false},

		{"user information", list("good.com"), origin("https://good.com@evil.com"), false},
		{"user information before the allowed host", list("good.com"), origin("https://evil.com@good.com"), false},
		{"user information with password", list("good.com"), origin("https://good.com:443@evil.com"), false},
		{"backslash", list("good.com"), origin(`https://evil.com\@good.com`), false},
		{"backslash as slash", list("good.com"), origin(`https://evil.com\.good.com`), false},
		{"fragment", list("good.com"), origin("https://evil.com#@good.com"), false},
		{"fragment with a wildcard", list("*.good.com"), origin("https://evil.com#.good.com"), false},
		{"query", list("good.com"), origin("https://evil.com?@good.com"), false},
		{"path", list("good.com"), origin("https://evil.com/https://good.com"), false},
		{"escaped dot", list("good.com"), origin("https://good%2ecom"), false},
		{"escaped slash", list("*.good.com"), origin("https://evil.com%2f.good.com"), false},
		{"scheme without slashes", list("good.com"), origin("https:good.com"), false},
		{"scheme with one slash", list("good.com"), origin("https:/good.com"), false},
		{"full-width dot", list("good.com"), origin("https://good。com"), false},
		{"Kelvin sign", list("kiwi.com"), origin("https://\u212aiwi.com"), false},

		{"A-label of a listed U-label", list("Bücher.example"), origin("https://xn--bcher-kva.example"), true},
		{"Arabic", list("*.مثال.السعودية"), origin("https://www.xn--mgbh0fb.xn--mgberp4a5d4ar"), true},
		{"A-label listed", list("xn--bcher-kva.example"), origin("https://xn--bcher-kva.example"), true},
		{"underscore", list("my_app.example.com"), origin("https://my_app.example.com"), true},

		{"IPv4", list("192.0.2.1"), origin("http://192.0.2.1:3000"), true},
		{"IPv6", list("::1"), origin("http://[::1]:3000"), true},
		{"IPv6 in brackets, with a port", list("[2001:DB8::1]:8443"), origin("http://[2001:db8:0::1]"), true},
		{"other IPv6", list("::1"), origin("http://[::2]"), false},
		{"unclosed bracket", list("::1"), origin("http://[::1"), false},
		{"localhost", list("localhost"), origin("http://localhost:5173"), true},
		{"app scheme", list("localhost"), origin("capacitor://localhost"), true},

		{"referer", list("example.com"), referer("https://example.com/cart?x=1#y"), true},
		{"referer of another host", list("example.com"), referer("https://evil.com/https://example.com/"), false},
		{"referer, host in query", list("example.com"), referer("https://evil.com/?u=https://example.com"), false},
		{"relative referer", list("example.com"), referer("/cart"), false},
		{"about:blank", list("example.com"), referer("about:blank"), false},
		{"empty referer", list("example.com"), referer(""), false},
		{"two referers", list("example.com"), referer("https://example.com/", "https://evil.com/"), false},
		{"referer with user information", list("example.com"), referer("https://example.com@evil.com/"), false},
		{"origin before referer", list("example.com"), both("https://example.com", "https://evil.com/"), true},
		{"wrong origin, right referer", list("example.com"), both("https://evil.com", "https://example.com/"), false},
		{"null origin, right referer", list("example.com"), both("null", "https://example.com/"), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := hostAllowed(canonicalPatterns(test.allowed), test.header); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestCanonicalPattern_PlainHostname(t *testing.T) {
	for _, pattern := range []string{
		"example.com", "*.example.com", "a-b.1.example", "localhost", "192.0.2.1", "1.2.3", "a..b", "-a-.b",
		".a", "*..a",
	} {
		if name := strings.TrimPrefix(pattern, "*."); !isPlain(name) {
			t.Errorf("%q is not plain", name)
		}
		plain, converted := canonicalPattern(pattern), canonicalPattern(strings.ToUpper(pattern)+".")
		if plain != converted {
			t.Errorf("%q becomes %q, but %q in upper case with a dot", pattern, plain, converted)
		}
	}
}

// numbered formats the numbers from 0 to n-1.
func numbered(format string, n int) []string {
	hostnames := make([]string, n)
	for i := range hostnames {
		hostnames[i] = fmt.Sprintf(format, i)
	}
	return hostnames
}

func TestAllowedHostnames_LongListIsFast(t *testing.T) {
	list := func(n int) []string { return canonicalPatterns(numbered("*.host-%d.example.com", n)) }
	short, long := list(10), list(100_000)
	for origin, want := range map[string]bool{
		"https://a.b.host-0.example.com": true, "https://a.host-99999.example.com": true,
		"https://host-7.example.com": false, "https://a.host-100000.example.com": false, "https://evil.com": false,
		"https://" + strings.Repeat("a.", 5000) + "host-7.example.com": false, // longer than maxHost
	} {
		header := http.Header{"Origin": {origin}}
		if hostAllowed(long, header) != want {
			t.Errorf("%.50s: got %t, want %t", origin, !want, want)
		}
		best := func(patterns []string) time.Duration {
			fastest := time.Hour
			for range 50 {
				start := time.Now()
				hostAllowed(patterns, header)
				fastest = min(fastest, time.Since(start))
			}
			return fastest
		}
		if few, many := best(short), best(long); many > 30*few {
			t.Errorf("%.50s: %s with a long list, %s with a short one", origin, many, few)
		}
	}
}

// Converting a long label takes quadratic time, so a list of them would delay a batch.
func TestCanonicalPattern_LongLabelIsNotConverted(t *testing.T) {
	fits, long := strings.Repeat("ü", maxLabel-7), strings.Repeat("ü", maxLabel+1)
	if got := canonicalPattern(fits + ".example"); !isPlain(strings.TrimPrefix(got, "xn--")) {
		t.Errorf("got %q, want an A-label", got)
	}
	ascii := strings.Repeat("a", maxLabel+1)
	for _, pattern := range []string{long, "*." + long + ".example", "a。" + long, ascii + ".example"} {
		if got := canonicalPattern(pattern); got != pattern {
			t.Errorf("got %q, want %q", got, pattern)
		}
	}
	if got := canonicalPattern(strings.Repeat("ü.", maxHost)); got != "" {
		t.Errorf("got %q, want none", got)
	}
}

func TestCanonicalPatterns_RetainNoInput(t *testing.T) {
	patterns := canonicalPatterns([]string{
		strings.Repeat(" ", 1<<20) + "b.example", "a.example:" + strings.Repeat("8", 1<<20), "b.example", "B.example",
	})
	if !slices.Equal(patterns, []string{"a.example", "b.example"}) || cap(patterns) != 2 {
		t.Errorf("got %q with capacity %d", patterns, cap(patterns))
	}
}

func FuzzAllowedHostnames(f *testing.F) {
	for _, seed := range [][2]string{
		{"example.com", "https://example.com"}, {"*.example.com", "https://a.example.com."},
		{"[::1]:80", "http://[::1]"}, {"Bücher.example", "https://xn--bcher-kva.example"},
		{"*.", "https://a.."}, {"", "https://"}, {"good", "https://good@evil"}, {"*", "null"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, origin string) {
		patterns := canonicalPatterns([]string{pattern})
		if len(patterns) != 1 {
			t.Fatalf("%d patterns, want 1", len(patterns))
		}
		if !hostAllowed(patterns, http.Header{"Origin": {origin}}) {
			return
		}
		host, ok := hostOf(origin)
		if !ok || host == "" {
			t.Fatalf("%q has no host, but %q allows it", origin, pattern)
		}
		// The allowed host is in the origin as sent, and not in its user information.
		if !strings.Contains(strings.ToLower(origin), host) && !strings.Contains(host, ":") {
			t.Fatalf("%q was read as %q", origin, host)
		}
		if strings.Contains(origin, "@") && strings.Index(origin, "@") < strings.Index(strings.ToLower(origin), host) {
			t.Fatalf("%q is allowed", origin)
		}
	})
}
