package sale

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// wholeBody is the Member of an InvalidError that concerns no single member.
const wholeBody = "body"

// InvalidError reports which member of a request is wrong and why. Its text is the value of the
// Hoko-Reason header. It is ASCII and contains no value that the client sent, because it is logged.
type InvalidError struct {
	Member string // a member in docs/api.md, "Idempotency-Key" or "body"
	Reason string // such as "must be a string"
}

// Error returns the member and the reason.
func (e *InvalidError) Error() string { return e.Member + ": " + e.Reason }

func invalid(member, reason string) error { return &InvalidError{member, reason} }

// unattributed returns the InvalidError for why, which says that nothing attributes the sale.
func unattributed(req *Request, why error) error {
	switch {
	case errors.Is(why, ErrNoSource):
		return invalid("clickId",
			"no sale can be attributed yet, as there is no link, or neither click nor lead: see docs/first-sale.md")
	case req.LeadEventName != "" && req.ClickID != "":
		return invalid("clickId", "no such click and no lead of that leadEventName, or the link is gone")
	case req.LeadEventName != "":
		return invalid("leadEventName", "the customer has no such lead and no other, or its link is gone")
	case req.ClickID != "":
		return invalid("clickId", "no such click, or its link is gone")
	default:
		return invalid("clickId", "missing, and the customer has no lead, or its link is gone")
	}
}

// members lists the members in docs/api.md. Only these may appear in a reason.
var members = []string{
	"customerExternalId", "amount", "currency", "eventName", "metadata",
	"leadEventName", "clickId", "customerName", "customerEmail", "customerAvatar",
}

// maxNesting is the max depth of objects and arrays, the outermost included. jsontext enforces it.
const maxNesting = 10_000

var byteOrderMark = []byte("\uFEFF")

// malformed returns the InvalidError for an error of jsontext, which may quote values of the
// client.
func (d *decoder) malformed(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return duplicate(err)
	}
	switch {
	case len(bytes.TrimLeft(d.body, " \t\r\n")) == 0:
		return invalid(wholeBody, "must not be empty")
	case bytes.HasPrefix(d.body, byteOrderMark):
		return invalid(wholeBody, "must not start with a byte order mark")
	case !utf8.Valid(d.body):
		return invalid(wholeBody, "is not valid UTF-8")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalid(wholeBody, "ends before the JSON object does")
	}
	offset := d.json.InputOffset()
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		offset = syntax.ByteOffset
	}
	at := " (at byte " + strconv.FormatInt(offset, 10) + ")"
	var next byte
	if offset < int64(len(d.body)) {
		next = d.body[offset]
	}
	switch {
	case d.json.StackDepth() == maxNesting && (next == '{' || next == '['):
		return invalid(wholeBody, "is nested more than 10000 levels deep")
	case next == '\\':
		return invalid(wholeBody, "has an invalid escape or a lone surrogate"+at)
	}
	return invalid(wholeBody, "is not valid JSON"+at)
}

// duplicate returns the InvalidError of a duplicate member. It names the member in docs/api.md that
// was sent twice or has the duplicate inside, if any.
func duplicate(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		for name := range syntax.JSONPointer.Tokens() {
			switch {
			case !slices.Contains(members, name):
			case syntax.JSONPointer.Parent() == "":
				return invalid(name, "must not be sent twice")
			default:
				return invalid(name, "has a duplicate member")
			}
			break // only the first token is a member of the body
		}
	}
	return invalid(wholeBody, "has a duplicate member")
}
