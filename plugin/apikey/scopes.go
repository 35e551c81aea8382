package apikey

import (
	"fmt"
	"slices"
	"strings"
)

// Scopes is a set of scopes, one bit for each name in [ScopeNames]. The zero value is empty. Scopes
// are independent: linksWrite does not imply linksRead.
type Scopes uint16

// scopeNames lists the scopes in the order of their bits.
var scopeNames = [...]string{
	"linksRead", "linksWrite", "collectionsRead", "collectionsWrite", "tagsRead", "tagsWrite",
	"partnersRead", "partnersWrite", "customersRead", "customersWrite", "analyticsRead", "conversionsWrite",
}

// ScopeNames returns the names of all twelve scopes.
func ScopeNames() []string { return slices.Clone(scopeNames[:]) }

// ParseScope returns the scope with this name, and whether there is one. Names are case-sensitive.
func ParseScope(name string) (Scopes, bool) {
	for i, known := range scopeNames {
		if name == known {
			return 1 << i, true
		}
	}
	return 0, false
}

// ScopesOf returns the set of the named scopes. It ignores unknown names.
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

// String returns the names, separated by spaces.
func (s Scopes) String() string { return strings.Join(s.Names(), " ") }

// Names returns the names of the scopes in the set, never nil.
func (s Scopes) Names() []string {
	names := []string{}
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// ScopeChallenge returns the WWW-Authenticate header of a 403 that names the missing scopes: RFC
// 6750, section 3.
func ScopeChallenge(missing []string) string {
	return `Bearer error="insufficient_scope", scope="` + strings.Join(missing, " ") + `"`
}

// Required holds the scopes that a route requires, in the order in which the route lists them. The
// zero value requires none.
type Required struct {
	names []string
	set   Scopes
}

// ParseRequired returns the required scopes with these names. It returns an error if a name is
// unknown or repeated.
func ParseRequired(names []string) (Required, error) {
	required := Required{names: slices.Clone(names)}
	for _, name := range names {
		scope, ok := ParseScope(name)
		if !ok {
			all := strings.Join(scopeNames[:], ", ")
			return Required{}, fmt.Errorf("unknown scope %q: the scopes are %s", name, all)
		}
		if required.set.Has(scope) {
			return Required{}, fmt.Errorf("scope %q is named twice", name)
		}
		required.set |= scope
	}
	return required, nil
}

// Missing returns the names of the required scopes that granted lacks, in the route's order, or nil
// if it lacks none.
func (r Required) Missing(granted Scopes) []string {
	if granted.Has(r.set) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.names), func(name string) bool {
		scope, _ := ParseScope(name)
		return granted.Has(scope)
	})
}
