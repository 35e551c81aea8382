package apikey

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// maxHostBytes: a host name has at most 253 characters, in UTF-8 of four bytes each.
const maxHostBytes = 4 * 253

// hostAllowed checks where a browser's request comes from: its Origin, else its
// Referer. Without either there is no browser, and the list is not applied.
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
	return ok && slices.ContainsFunc(allowed, func(pattern string) bool { return hostMatches(pattern, host) })
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
	return host, host != ""
}

// hostMatches: `*.example.com` covers the subdomains at any depth, not the apex.
func hostMatches(pattern, host string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok && strings.HasPrefix(suffix, ".") {
		return len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	return pattern == host
}

// canonicalHost ignores case, one trailing dot, and the spelling of an address.
func canonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// canonicalPatterns spells a key's list as the browser spells its hosts. It keeps the length of the
// list, as an empty one allows any host: a pattern that means nothing matches nothing.
func canonicalPatterns(patterns []string) []string {
	if len(patterns) == 0 {
		return nil
	}
	canonical := make([]string, len(patterns))
	for i, pattern := range patterns {
		canonical[i] = canonicalPattern(pattern)
	}
	return canonical
}

func canonicalPattern(pattern string) string {
	pattern, wildcard := strings.CutPrefix(strings.TrimSpace(pattern), "*.")
	host := canonicalHost(withoutPort(pattern))
	if len(host) > maxHostBytes {
		return "" // and the conversion takes the square of the length
	}
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	}
	if wildcard && host != "" {
		return "*." + host
	}
	return host
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
