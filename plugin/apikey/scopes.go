// Package apikey authenticates API keys and checks their scopes. An [Authenticator] reads the key
// from the Authorization header and finds it in a [Store], through a cache. [Authenticator.Notify]
// makes a revocation take effect immediately. docs/keys.md describes the behavior.
package apikey

import (
	"fmt"
	"slices"
	"strings"
)

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

// ScopeChallenge returns the WWW-Authenticate of a 403 for these missing scopes.
func ScopeChallenge(missing []string) string {
	return `Bearer error="insufficient_scope", scope="` + strings.Join(missing, " ") + `"`
}

// Required holds the scopes that a route asks for, in the order in which it names them.
type Required struct {
	names []string
	set   Scopes
}

// ParseRequired rejects a name that is no scope, and one that is named twice.
func ParseRequired(names []string) (Required, error) {
	required := Required{names: slices.Clone(names)}
	for _, name := range names {
		scope, ok := ParseScope(name)
		if !ok {
			return Required{}, fmt.Errorf("unknown scope %q: the scopes are %s", name, strings.Join(scopeNames[:], ", "))
		}
		if required.set.Has(scope) {
			return Required{}, fmt.Errorf("scope %q is named twice", name)
		}
		required.set |= scope
	}
	return required, nil
}

// Missing lists the required scopes that granted lacks, in the order in which the route names them; nil
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
