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

// InvalidError says which member of a request is wrong, and why. Its text is
// that of the Hoko-Reason header: ASCII, and nothing of the client's in it, so
// that neither a header nor a log repeats what was sent.
type InvalidError struct {
	Member string // a member that docs/api.md names, or "body"
	Reason string
}

func (e *InvalidError) Error() string { return e.Member + ": " + e.Reason }

func invalid(member, reason string) error { return &InvalidError{member, reason} }

// unattributed says which of the three attributions the request lacked. A lead
// or click whose link is gone earns nothing either.
func unattributed(req *Request) error {
	switch {
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

// members are those that docs/api.md names: what may be repeated to the client.
var members = []string{
	"customerExternalId", "amount", "currency", "eventName", "metadata",
	"leadEventName", "clickId", "customerName", "customerEmail", "customerAvatar",
}

// maxNesting is how deep objects and arrays may be nested, the outermost being
// level 1. It is jsontext's own limit, and encoding/json's.
const maxNesting = 10_000

var byteOrderMark = []byte("\uFEFF")

// malformed says in words of our own why the body is not the JSON that we take:
// jsontext's errors quote what was sent.
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
		return invalid(wholeBody, "is nested more than 10000 deep")
	case next == '\\':
		return invalid(wholeBody, "has an invalid escape or half a surrogate pair"+at)
	}
	return invalid(wholeBody, "is not valid JSON"+at)
}

// duplicate names the member that was sent twice, or in which one was, where
// it is one of ours.
func duplicate(err error) error {
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return invalid(wholeBody, "has a duplicate member")
	}
	for name := range syntax.JSONPointer.Tokens() {
		switch {
		case !slices.Contains(members, name):
			return invalid(wholeBody, "has a duplicate member")
		case syntax.JSONPointer.Parent() == "":
			return invalid(name, "must not be sent twice")
		default:
			return invalid(name, "has a duplicate member")
		}
	}
	return invalid(wholeBody, "has a duplicate member")
}
