package sale

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxAvatar is the max length of an avatar's URL, in bytes.
const maxAvatar = 2048

// The ASCII characters besides letters and digits in the parts of a URL (RFC 3986, appendix A).
const (
	inUserinfo = "-._~!$&'()*+,;=:"
	inPath     = inUserinfo + "@/"
	inQuery    = inPath + "?"
)

// avatarFault returns why text is not an absolute http or https URL by the rules of docs/api.md, or
// "" if it is. net/url is too lenient: it accepts http://a<b.
func avatarFault(text string) string {
	if len(text) > maxAvatar {
		return "must be at most 2048 bytes"
	}
	scheme, rest, found := strings.Cut(text, "://")
	// strings.EqualFold would treat the long s of httpſ as an s.
	if lower := strings.ToLower(scheme); !found || lower != "http" && lower != "https" {
		return "must be an absolute http or https URL"
	}
	rest, fragment, _ := strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	userinfo, hostport := cutUserinfo(authority)
	switch {
	case !isURLText(userinfo, inUserinfo), !isURLText(path, inPath), !isURLText(query, inQuery),
		!isURLText(fragment, inQuery):
		return "has a character that a URL must escape, or an invalid escape"
	case !validHostport(hostport):
		return "must have a valid host, and any port must be at most 65535"
	}
	return ""
}

// cutUserinfo splits an authority at its last @. isURLText rejects any other @.
func cutUserinfo(authority string) (userinfo, hostport string) {
	at := strings.LastIndexByte(authority, '@')
	return authority[:max(at, 0)], authority[at+1:]
}

// isURLText reports whether text has only allowed characters, letters, digits, percent-escapes and
// visible non-ASCII, which docs/api.md allows unescaped.
func isURLText(text, allowed string) bool {
	for i, r := range text {
		switch {
		case r >= utf8.RuneSelf:
			if unicode.IsSpace(r) || unicode.IsControl(r) {
				return false
			}
		case r == '%':
			if len(text) < i+3 || !isHex(text[i+1]) || !isHex(text[i+2]) {
				return false
			}
		case !isAlphanumeric(byte(r)) && !strings.ContainsRune(allowed, r):
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// validHostport reports whether hostport is a hostname of at least one label, with or without a
// trailing dot, or an IPv4 or IPv6 literal. A port is optional and may be empty (RFC 3986, 3.2.3).
func validHostport(hostport string) bool {
	if strings.HasPrefix(hostport, "[") {
		literal, port, found := strings.Cut(hostport[1:], "]")
		return found && validIPv6(literal) && (port == "" || port[0] == ':' && validPort(port[1:]))
	}
	host, port, _ := strings.Cut(hostport, ":")
	if !validPort(port) {
		return false
	}
	if _, err := netip.ParseAddr(host); err == nil { // IPv4, as host has no colon
		return true
	}
	// RFC 1123 does not allow underscores, but DNS and browsers do, for example in bucket hosts.
	return validHostname(strings.ReplaceAll(strings.TrimSuffix(host, "."), "_", "x"))
}

// validIPv6 reports whether literal is an IPv6 address. It rejects zones: they are local to a host.
func validIPv6(literal string) bool {
	address, err := netip.ParseAddr(literal)
	return err == nil && address.Is6() && address.Zone() == ""
}

// validPort reports whether port is empty or digits of a value up to 65535.
func validPort(port string) bool {
	if port == "" {
		return true
	}
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}
