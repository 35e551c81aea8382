package apikey

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxHost and maxLabel bound a host name and its labels: RFC 1035, section 2.3.4. They are compared
// with characters, because an A-label is never shorter than its U-label.
const maxHost, maxLabel = 253, 63

// maxListed bounds the patterns that a HostRule lists.
const maxListed = 10

// HostRule is the rule about host names that a request has broken.
type HostRule struct {
	From    string   `json:"from"`    // the host name in Origin or Referer, "" if it has none that is valid
	Allowed []string `json:"allowed"` // the key's patterns, at most ten
	More    int      `json:"more"`    // further patterns
}

func newHostRule(patterns []string, header http.Header) *HostRule {
	listed := slices.Clone(patterns[:min(len(patterns), maxListed)])
	rule := &HostRule{Allowed: listed, More: len(patterns) - len(listed)}
	if from := sentFrom(header); len(from) == 1 {
		if host, ok := hostOf(from[0]); ok {
			rule.From = strings.Clone(host) // without the path
		}
	}
	return rule
}

// sentFrom returns the values of Origin or, if the request has none, of Referer.
func sentFrom(header http.Header) []string {
	if from, sent := header["Origin"]; sent {
		return from
	}
	return header["Referer"]
}

// hostAllowed reports whether the host in Origin, or else in Referer, matches one of the canonical
// patterns. It is true if the request has neither, because it then does not come from a browser.
func hostAllowed(allowed []string, header http.Header) bool {
	if len(allowed) == 0 {
		return true
	}
	from := sentFrom(header)
	if from == nil {
		return true
	}
	if len(from) != 1 {
		return false
	}
	host, ok := hostOf(from[0])
	return ok && hostListed(allowed, host)
}

// hostOf returns the canonical host of an origin or URL. It rejects user information, which
// browsers never send in these headers.
func hostOf(origin string) (string, bool) {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.User != nil {
		return "", false
	}
	host := u.Hostname()
	if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return "", false // browsers send A-labels, and strings.ToLower turns the Kelvin sign into a k
	}
	host = canonicalHost(host)
	return host, host != "" && len(host) <= maxHost
}

// hostListed reports whether one of the sorted patterns matches the host.
func hostListed(patterns []string, host string) bool {
	if _, found := slices.BinarySearch(patterns, host); found {
		return true
	}
	for i := 1; i < len(host); i++ {
		if host[i] != '.' {
			continue
		}
		if _, found := slices.BinarySearchFunc(patterns, host[i:], compareWildcard); found {
			return true
		}
	}
	return false
}

// compareWildcard compares pattern with `*` + suffix, without allocating.
func compareWildcard(pattern, suffix string) int {
	if pattern == "" {
		return -1
	}
	return cmp.Or(cmp.Compare(pattern[0], '*'), strings.Compare(pattern[1:], suffix))
}

// canonicalHost returns an IP address in its canonical form, and a name in lower case without a
// trailing dot.
func canonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// canonicalPatterns returns the patterns as browsers spell host names, sorted and without
// duplicates. It keeps patterns that can match nothing, because an empty list would allow any host.
func canonicalPatterns(patterns []string) []string {
	if len(patterns) == 0 {
		return nil
	}
	canonical := make([]string, len(patterns))
	for i, pattern := range patterns {
		canonical[i] = canonicalPattern(pattern)
		if len(canonical[i]) < len(pattern) {
			canonical[i] = strings.Clone(canonical[i]) // else the whole pattern stays in memory
		}
	}
	slices.Sort(canonical)
	if unique := slices.Compact(canonical); len(unique) < len(canonical) {
		return slices.Clone(unique)
	}
	return canonical
}

func canonicalPattern(pattern string) string {
	name, wildcard := strings.CutPrefix(strings.TrimSpace(pattern), "*.")
	if isPlain(name) {
		return strings.TrimSpace(pattern)
	}
	host := canonicalHost(withoutPort(name))
	if utf8.RuneCountInString(host) > maxHost {
		return ""
	}
	if !hasLongLabel(host) {
		if ascii, err := idna.Lookup.ToASCII(host); err == nil {
			host = ascii
		}
	}
	if wildcard && host != "" {
		return "*." + host
	}
	return host
}

// isPlain reports whether a host name needs no conversion, which takes a hundred times as long.
func isPlain(host string) bool {
	if host == "" || len(host) > maxHost || strings.HasSuffix(host, ".") || strings.Contains(host, "xn--") {
		return false
	}
	for _, c := range []byte(host) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

// hasLongLabel reports whether a label is too long for a host name. Converting one would take
// quadratic time. RFC 3490, section 3.1 lists the dots.
func hasLongLabel(host string) bool {
	for label := range strings.FieldsFuncSeq(host, func(r rune) bool { return strings.ContainsRune(".。．｡", r) }) {
		if utf8.RuneCountInString(label) > maxLabel {
			return true
		}
	}
	return false
}

// withoutPort removes the port and brackets from `host:port`, `[address]` and `[address]:port`.
func withoutPort(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, _, _ = strings.Cut(inner, "]")
		return inner
	}
	if strings.Count(host, ":") == 1 {
		host, _, _ = strings.Cut(host, ":")
	}
	return host
}
