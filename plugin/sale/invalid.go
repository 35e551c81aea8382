package sale

// wholeBody is the Member of an InvalidError that concerns no single member.
const wholeBody = "body"

// InvalidError says which member of a request is wrong, and why. Its text is
// that of the Hoko-Reason header: ASCII, and nothing of the client's in it, so
// that neither a header nor a log repeats what was sent.
type InvalidError struct {
	Member string // a member that docs/api.md names, or "body"
	Reason string
}

func (e *InvalidError) Error() string { return e.Member + ": " + e.Reason }

func invalid(member, reason string) error { return &InvalidError{member, reason} }
