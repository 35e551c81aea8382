package sale

import (
	"slices"
	"unicode"
)

// permittedLabel reports whether a U-label has its hyphens where RFC 5891,
// 4.2.3.1 allows them, and only code points that RFC 5892 permits where they
// stand. What normalisation would change is left to registrable.
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

// letterDigits are RFC 5892's category A; exceptions (F) and what is ignored
// (D, I) come before them.
var letterDigits = []*unicode.RangeTable{unicode.Ll, unicode.Lu, unicode.Lo, unicode.Nd, unicode.Lm, unicode.Mn, unicode.Mc}

// disallowed: exceptions (2.6), combining marks for symbols and musical symbols
// (2.4), and the Hangul Jamo of old syllables (2.9).
var disallowed = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x0640, 0x0640, 1}, {0x07fa, 0x07fa, 1},
		{0x1100, 0x11ff, 1}, {0x20d0, 0x20ff, 1},
		{0x302e, 0x302f, 1}, {0x3031, 0x3035, 1}, {0x303b, 0x303b, 1},
		{0xa960, 0xa97c, 1}, {0xd7b0, 0xd7c6, 1}, {0xd7cb, 0xd7fb, 1},
	},
	R32: []unicode.Range32{{0x1d100, 0x1d1ff, 1}, {0x1d200, 0x1d24f, 1}},
}

// permitted reports whether r may stand anywhere (PVALID).
func permitted(r rune) bool {
	switch {
	case r < 0x80:
		return r == '-' || isAlphanumeric(byte(r))
	case slices.Contains([]rune{0x06fd, 0x06fe, 0x0f0b, 0x3007}, r):
		return true
	}
	return !unicode.Is(disallowed, r) && unicode.In(r, letterDigits...)
}

// permittedInContext holds the contextual rules of RFC 5892, appendix A, but
// for those that registrable applies: joiners, and Arabic digits of two kinds,
// which the Bidi rule does not let into one label.
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
