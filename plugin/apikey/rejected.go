package apikey

import "strings"

// Cause says why a key was rejected. Use it in logs and metrics, never in the response.
type Cause string

// All causes.
const (
	CauseMissing           Cause = "missing"
	CauseMalformed         Cause = "malformed"
	CauseUnknown           Cause = "unknown"
	CauseRevoked           Cause = "revoked"
	CauseExpired           Cause = "expired"
	CauseWorkspaceDisabled Cause = "workspace_disabled"
	CauseHostNotAllowed    Cause = "host_not_allowed"
)

var causes = []Cause{
	CauseMissing, CauseMalformed, CauseUnknown, CauseRevoked, CauseExpired, CauseWorkspaceDisabled, CauseHostNotAllowed,
}

// Rejected is a 401: the request carries no key, or one that is not valid.
type Rejected struct {
	Cause Cause
	// KeySent is whether the request carried what was meant as a key. The challenge says so.
	KeySent bool
	// KeyID is that of the key, if one was found; for the log.
	KeyID string
}

func (r *Rejected) Error() string { return "key rejected: " + string(r.Cause) }

// Challenge returns the WWW-Authenticate of the 401: RFC 6750, section 3.
func (r *Rejected) Challenge() string {
	if r.KeySent {
		return `Bearer error="invalid_token"`
	}
	return "Bearer"
}

// MissingScopes is a 403: the key is valid, but lacks scopes.
type MissingScopes struct {
	Key    *Key
	Scopes []string // in the order in which the route names them
}

func (m *MissingScopes) Error() string { return "key lacks " + strings.Join(m.Scopes, " ") }

// Challenge returns the WWW-Authenticate of the 403.
func (m *MissingScopes) Challenge() string { return ScopeChallenge(m.Scopes) }

// Refusals that are decided on the header alone.
var (
	noKeySent    = &Rejected{Cause: CauseMissing}
	malformedKey = &Rejected{Cause: CauseMalformed, KeySent: true}
)
