package sale

import "strings"

// Bounds of a host name in the form that DNS sees (RFC 1035, 2.3.4).
const (
	maxHostname = 253
	maxLabel    = 63
)

// validHostname reports whether name is a host name without a trailing dot:
// labels of letters, digits and inner hyphens (RFC 1123), or of IDNA2008 as
// U-labels or A-labels, in any case. The last label is not all digits, or the
// name could be taken for an IPv4 address.
func validHostname(name string) bool {
	plain := true
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		ascii, ace := isASCII(label), isACE(label)
		if (ascii || ace) && !isLDH(label) {
			return false
		}
		plain = plain && ascii && !ace
		last = label
	}
	if last == "" || strings.Trim(last, "0123456789") == "" {
		return false
	}
	if plain {
		return len(name) <= maxHostname
	}
	return validIDN(name)
}

// isLDH reports whether a label is one of ASCII letters, digits and hyphens.
func isLDH(label string) bool {
	if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		if c != '-' && !isAlphanumeric(c) {
			return false
		}
	}
	return true
}

// isACE reports whether a label claims to be an A-label.
func isACE(label string) bool {
	return len(label) >= len(acePrefix) && strings.EqualFold(label[:len(acePrefix)], acePrefix)
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
