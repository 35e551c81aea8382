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
