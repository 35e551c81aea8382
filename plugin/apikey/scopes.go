// Package apikey says who calls, and whether they may: the key as it is sent,
// what is known of it, and the cache that makes looking it up cheap and
// revoking it immediate. See docs/keys.md.
package apikey

import "strings"

// Scopes is a set of the twelve scopes. They are exact, independent and
// case-sensitive: Write does not imply Read.
type Scopes uint16

// scopeNames in the order of their bits.
var scopeNames = [...]string{
	"linksRead", "linksWrite", "collectionsRead", "collectionsWrite", "tagsRead", "tagsWrite",
	"partnersRead", "partnersWrite", "customersRead", "customersWrite", "analyticsRead", "conversionsWrite",
}

// ScopeNames lists the twelve scopes.
func ScopeNames() []string { return append([]string(nil), scopeNames[:]...) }

// ParseScope is the scope of exactly this name; false if there is none.
func ParseScope(name string) (Scopes, bool) {
	for i, known := range scopeNames {
		if name == known {
			return 1 << i, true
		}
	}
	return 0, false
}

// ScopesOf is the set of these names. Unknown names grant nothing.
func ScopesOf(names []string) Scopes {
	var set Scopes
	for _, name := range names {
		scope, _ := ParseScope(name)
		set |= scope
	}
	return set
}

// Has reports whether the set holds all of want.
func (s Scopes) Has(want Scopes) bool { return s&want == want }

// String lists the names, a space between them.
func (s Scopes) String() string {
	var names []string
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}
