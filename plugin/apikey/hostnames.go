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

const (
	// maxHost and maxLabel are those of a host name, in characters. Conversion to A-labels only adds some.
	maxHost, maxLabel = 253, 63
)

// hostAllowed checks where a browser's request comes from: its Origin, else its
// Referer. Without either there is no browser, and the list is not applied. The list comes from
// canonicalPatterns.
func hostAllowed(allowed []string, header http.Header) bool {
	if len(allowed) == 0 {
		return true
	}
	from, sent := header["Origin"]
	if !sent {
		from, sent = header["Referer"]
	}
	if !sent {
		return true
	}
	if len(from) != 1 {
		return false
	}
	host, ok := hostOf(from[0])
	return ok && hostListed(allowed, host)
}

// hostOf is the host of an origin or a URL, as canonicalHost spells it. Browsers
// send no user information: what has some is made to be misread.
func hostOf(origin string) (string, bool) {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.User != nil {
		return "", false
	}
	host := u.Hostname()
	if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return "", false // browsers send A-labels, and lower-casing turns the Kelvin sign into a k
	}
	host = canonicalHost(host)
	return host, host != "" && len(host) <= maxHost
}

// hostListed looks a host up in a sorted list. `*.example.com` covers the subdomains at any depth, not
// the apex.
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

// compareWildcard compares the pattern with `*` and the suffix.
func compareWildcard(pattern, suffix string) int {
	if pattern == "" {
		return -1
	}
	return cmp.Or(cmp.Compare(pattern[0], '*'), strings.Compare(pattern[1:], suffix))
}

// canonicalHost ignores case, one trailing dot, and the spelling of an address.
func canonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// canonicalPatterns spells a key's list as the browser spells its hosts, and sorts it. It never makes
// a list empty, as an empty one allows any host: a pattern that means nothing matches nothing.
func canonicalPatterns(patterns []string) []string {
	if len(patterns) == 0 {
		return nil
	}
	canonical := make([]string, len(patterns))
	for i, pattern := range patterns {
		canonical[i] = canonicalPattern(pattern)
		if len(canonical[i]) < len(pattern) {
			canonical[i] = strings.Clone(canonical[i]) // or it would keep all of the pattern
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

// isPlain reports whether a host name is surely spelled as browsers spell it, as most are. Finding out
// costs a hundredth of the conversion.
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

// hasLongLabel reports whether a label is longer than that of any host, whose conversion takes the square
// of its length. The dots are those of IDNA.
func hasLongLabel(host string) bool {
	for label := range strings.FieldsFuncSeq(host, func(r rune) bool { return strings.ContainsRune(".。．｡", r) }) {
		if utf8.RuneCountInString(label) > maxLabel {
			return true
		}
	}
	return false
}

// withoutPort takes `host`, `host:port`, `[address]`, `[address]:port` and the bare IPv6 address.
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
