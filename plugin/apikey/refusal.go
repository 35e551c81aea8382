package apikey

import (
	"errors"
	"fmt"
	"time"

	"hoko.to/edge/plugin/limit"
)

// Cause says why a key was refused. It belongs into the log and the metrics,
// never into the answer.
type Cause string

// All causes there are.
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

// Refused is a 401: the request holds no key, or one that does not hold.
type Refused struct {
	Cause Cause
	// KeySent: the request carried what was meant as a key. The challenge says so.
	KeySent bool
	// KeyID of the key, where one was found; for the log.
	KeyID string
}

func (r *Refused) Error() string { return "key refused: " + string(r.Cause) }

// Refusals that are decided on the header alone.
var (
	noKeySent    = &Refused{Cause: CauseMissing}
	malformedKey = &Refused{Cause: CauseMalformed, KeySent: true}
)

// GuessesSpent is a 429: the client's address spent its budget of lookups that
// found nothing, and the key is not one that the edge knows.
type GuessesSpent struct {
	// Limit is the budget.
	Limit limit.Limit
	// ResetAfter is the time until the budget is full again, RetryAfter the
	// time until it holds one guess.
	ResetAfter, RetryAfter time.Duration
}

func (g *GuessesSpent) Error() string {
	return fmt.Sprintf("the client's address spent its budget of guesses: retry after %s", g.RetryAfter)
}

// ErrUnavailable is a 503: the key could not be looked up.
var ErrUnavailable = errors.New("key cannot be looked up")
