package sale

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

const acePrefix = "xn--"

// registrable checks what a registry does (RFC 5891, 4): normalisation, joiners,
// a leading mark, the Bidi rule and lengths. It knows UTS 46 and not which code
// points IDNA2008 itself allows (permittedLabel does), and its hyphen rule
// would refuse plain labels such as r3---sn.
var registrable = idna.New(idna.ValidateForRegistration(), idna.StrictDomainName(false), idna.CheckHyphens(false))

// validIDN reports whether name is one of IDNA2008: each of its labels that is
// not plain ASCII a valid U-label, or the A-label of one. Upper case is taken
// for its lower case, as DNS does.
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
	_, err = registrable.ToASCII(unicodeForm) // knows the lengths
	return err == nil
}

// lowerCase maps only what is its own upper case again: İ or the Kelvin sign
// are no letters of a host name in any case.
func lowerCase(r rune) rune {
	if lower := unicode.ToLower(r); unicode.ToUpper(lower) == r {
		return lower
	}
	return r
}
