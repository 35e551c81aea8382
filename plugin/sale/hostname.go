package sale

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// Max bytes of a hostname and of each label in DNS (RFC 1035, 2.3.4).
const (
	maxHostname = 253
	maxLabel    = 63
)

// validHostname reports whether name is a hostname without a trailing dot. Labels are letters,
// digits and inner hyphens (RFC 1123), or U-labels or A-labels of IDNA2008. The letter case does
// not matter. The last label must not be all digits, so that no name looks like an IPv4 address.
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

// isLDH reports whether a label consists of ASCII letters, digits and inner hyphens.
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

const acePrefix = "xn--"

// registrable checks what a registry checks (RFC 5891, 4): normalization, joiners, a leading mark,
// the Bidi rule and lengths. It implements UTS 46, which allows more code points than IDNA2008:
// permittedLabel rejects those. Its hyphen rule is off, as it rejects labels such as r3---sn.
var registrable = idna.New(idna.ValidateForRegistration(), idna.StrictDomainName(false), idna.CheckHyphens(false))

// validIDN reports whether each label of name is plain ASCII, a valid U-label or the A-label of
// one, in any letter case.
func validIDN(name string) bool {
	unicodeForm, err := registrable.ToUnicode(strings.Map(lowerCase, name))
	if err != nil {
		return false
	}
	for label := range strings.SplitSeq(unicodeForm, ".") {
		if !isASCII(label) && !permittedLabel(label) {
			return false
		}
	}
	_, err = registrable.ToASCII(unicodeForm) // for the lengths
	return err == nil
}

// lowerCase returns the lowercase of r if that has r as its uppercase. Otherwise it returns r, so
// that İ and the Kelvin sign stay invalid.
func lowerCase(r rune) rune {
	if lower := unicode.ToLower(r); unicode.ToUpper(lower) == r {
		return lower
	}
	return r
}

// permittedLabel reports whether RFC 5891, 4.2.3.1 allows the hyphens of a U-label, and RFC 5892
// its code points. registrable checks the normalization.
func permittedLabel(label string) bool {
	runes := []rune(label)
	if runes[0] == '-' || runes[len(runes)-1] == '-' || len(runes) > 3 && runes[2] == '-' && runes[3] == '-' {
		return false
	}
	for i, r := range runes {
		if !permitted(r) && !permittedInContext(runes, i) {
			return false
		}
	}
	return true
}

// letterDigits is category A of RFC 5892. permitted applies the exceptions first.
var letterDigits = []*unicode.RangeTable{
	unicode.Ll, unicode.Lu, unicode.Lo, unicode.Nd, unicode.Lm, unicode.Mn, unicode.Mc,
}

// disallowed holds, by section of RFC 5892, exceptions (2.6), combining marks for symbols and
// musical symbols (2.4), and the Hangul Jamo of old syllables (2.9).
var disallowed = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x0640, 0x0640, 1}, {0x07fa, 0x07fa, 1},
		{0x1100, 0x11ff, 1}, {0x20d0, 0x20ff, 1},
		{0x302e, 0x302f, 1}, {0x3031, 0x3035, 1}, {0x303b, 0x303b, 1},
		{0xa960, 0xa97c, 1}, {0xd7b0, 0xd7c6, 1}, {0xd7cb, 0xd7fb, 1},
	},
	R32: []unicode.Range32{{0x1d100, 0x1d1ff, 1}, {0x1d200, 0x1d24f, 1}},
}

// permitted reports whether r is allowed anywhere (PVALID).
func permitted(r rune) bool {
	switch {
	case r < 0x80:
		return r == '-' || isAlphanumeric(byte(r))
	case slices.Contains([]rune{0x06fd, 0x06fe, 0x0f0b, 0x3007}, r):
		return true
	}
	return !unicode.Is(disallowed, r) && unicode.In(r, letterDigits...)
}

// permittedInContext implements the contextual rules of RFC 5892, appendix A, except those that
// registrable checks: the joiners, and by its Bidi rule the two kinds of Arabic digits.
func permittedInContext(label []rune, i int) bool {
	at := func(i int) rune {
		if i < 0 || i >= len(label) {
			return -1
		}
		return label[i]
	}
	switch r := label[i]; {
	case r == 0x200c, r == 0x200d:
		return true
	case r == 0x00b7: // middle dot, as in l·l
		return at(i-1) == 'l' && at(i+1) == 'l'
	case r == 0x0375: // Greek keraia
		return unicode.Is(unicode.Greek, at(i+1))
	case r == 0x05f3, r == 0x05f4: // Hebrew geresh and gershayim
		return unicode.Is(unicode.Hebrew, at(i-1))
	case r == 0x30fb: // Katakana middle dot
		return slices.ContainsFunc(label, func(r rune) bool {
			return unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han)
		})
	}
	return false
}
