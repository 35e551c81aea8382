package apikey

import (
	"fmt"
	"slices"
	"strings"
)

// Challenge is the WWW-Authenticate of the 401: RFC 6750, section 3.
func (r *Refused) Challenge() string {
	if r.KeySent {
		return `Bearer error="invalid_token"`
	}
	return "Bearer"
}

// ScopeChallenge is the WWW-Authenticate of a 403 for these lacking scopes.
func ScopeChallenge(missing []string) string {
	return `Bearer error="insufficient_scope", scope="` + strings.Join(missing, " ") + `"`
}

// Required is the scopes that a route asks for, in the order in which it names them.
type Required struct {
	names []string
	set   Scopes
}

// ParseRequired refuses a name that is no scope, and one that is named twice.
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

// Missing lists the required scopes that granted lacks, in the order in which
// the route names them; nil where it lacks none.
func (r Required) Missing(granted Scopes) []string {
	if granted.Has(r.set) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.names), func(name string) bool {
		scope, _ := ParseScope(name)
		return granted.Has(scope)
	})
}
