package apikey

import "strings"

// Cause is the reason for a 401. Use it in logs and metrics, never in the response.
type Cause string

// The causes of a 401. They are also outcomes in the metric hoko_auth_total.
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

// Rejected is the error for a 401: the request carries no key, or one that is not valid.
type Rejected struct {
	Cause Cause
	// KeySent is whether the request carried a key, even a malformed one. Challenge depends on it.
	KeySent bool
	// KeyID and WorkspaceID are the IDs of the key and its workspace if there is such a key, and ""
	// otherwise. Use them in logs only.
	KeyID, WorkspaceID string
	// Host is the rule that CauseHostNotAllowed breaks, nil for other causes.
	Host *HostRule
}

func (r *Rejected) Error() string { return "key rejected: " + string(r.Cause) }

// Challenge returns the WWW-Authenticate header of the 401: RFC 6750, section 3.
func (r *Rejected) Challenge() string {
	if r.KeySent {
		return `Bearer error="invalid_token"`
	}
	return "Bearer"
}

// MissingScopes is the error for a 403: the key is valid but lacks required scopes.
type MissingScopes struct {
	Key    *Key
	Scopes []string // the missing ones, in the order of Required
	// Required has all scopes that the route requires. It must not be changed.
	Required []string
}

func (m *MissingScopes) Error() string { return "key lacks scopes " + strings.Join(m.Scopes, " ") }

// Challenge returns the WWW-Authenticate header of the 403. See ScopeChallenge.
func (m *MissingScopes) Challenge() string { return ScopeChallenge(m.Scopes) }

// These errors depend on the Authorization header alone.
var (
	noKeySent    = &Rejected{Cause: CauseMissing}
	malformedKey = &Rejected{Cause: CauseMalformed, KeySent: true}
)
