package sale

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Max bytes of an e-mail address and of its part before the @ (RFC 5321, 4.5.3.1).
const (
	maxEmail     = 254
	maxEmailName = 64
)

// emailFault returns why text is not an e-mail address by the rules of docs/api.md, or "" if it is
// one: a dot-atom (RFC 5322, with UTF-8 as in RFC 6532), @, and a hostname of at least two labels.
func emailFault(text string) string {
	if len(text) > maxEmail {
		return "must be at most 254 bytes"
	}
	local, host, found := strings.Cut(text, "@")
	switch {
	case !found:
		return "must be an e-mail address"
	case local == "" || len(local) > maxEmailName:
		return "must have 1 to 64 bytes before the @"
	case !isDotAtom(local):
		return "must have only letters, digits, single dots and !#$%&'*+-/=?^_`{|}~ before the @"
	case !strings.Contains(host, ".") || !validHostname(host):
		return "must have a domain name of two labels or more after the @"
	}
	return ""
}

// isDotAtom reports whether text consists of atoms with single dots between them.
func isDotAtom(text string) bool {
	for atom := range strings.SplitSeq(text, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtomText(r) }) {
			return false
		}
	}
	return true
}

func isAtomText(r rune) bool {
	if r < utf8.RuneSelf {
		return isAlphanumeric(byte(r)) || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
	return !unicode.IsSpace(r) && !unicode.IsControl(r)
}
