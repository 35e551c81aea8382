package apikey

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// maxTokenLength is the longest key that is looked up, in bytes.
const maxTokenLength = 256

const redacted = "[redacted]"

// Token is a key as it was sent. It cannot be printed, logged or marshalled.
type Token struct{ text string }

// Hash is the only thing that a Token is good for.
func (t Token) Hash() Hash { return HashOf(t.text) }

// Format covers every verb: without it %d would show the fields.
func (Token) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

func (Token) String() string               { return redacted }
func (Token) GoString() string             { return redacted }
func (Token) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// parseToken reads the values of a request's Authorization header: `Bearer <key>` or the bare key.
// An unsupported scheme counts as no key sent, as in RFC 6750, section 3.1.
func parseToken(values []string) (Token, *Rejected) {
	if len(values) == 0 {
		return Token{}, noKeySent
	}
	if len(values) > 1 {
		return Token{}, malformedKey
	}
	if text, usual := strings.CutPrefix(values[0], "Bearer "); usual && text != "" && isTokenText(text) {
		return Token{text}, nil // without the passes that the other spellings take
	}
	text := strings.Trim(values[0], whiteSpace)
	scheme, rest := text, ""
	if end := strings.IndexAny(text, whiteSpace); end >= 0 {
		scheme, rest = text[:end], strings.TrimLeft(text[end:], whiteSpace)
	}
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		text = rest
	case rest != "" && isSchemeName(scheme):
		return Token{}, noKeySent
	}
	switch {
	case text == "":
		return Token{}, noKeySent
	case !isTokenText(text):
		return Token{}, malformedKey
	}
	return Token{text}, nil
}

// whiteSpace is that of HTTP: RFC 9110, section 5.6.3.
const whiteSpace = " \t"

// isTokenText admits printable ASCII without the space.
func isTokenText(s string) bool {
	if len(s) > maxTokenLength {
		return false
	}
	for i := range len(s) {
		if s[i]-'!' > '~'-'!' { // also below '!', where it wraps: one comparison a byte
			return false
		}
	}
	return true
}

// isSchemeName: an authentication scheme is a token of RFC 9110, section 5.6.2.
func isSchemeName(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}) < 0
}
