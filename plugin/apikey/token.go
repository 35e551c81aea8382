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

// Token is a key as sent by a client. Printing, logging or marshaling it yields "[redacted]".
type Token struct{ text string }

// Hash returns the hash under which the key is stored. It is the only way to use a Token.
func (t Token) Hash() Hash { return HashOf(t.text) }

// Format redacts the token for every verb. Without it, %d would print the field.
func (Token) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

func (Token) String() string               { return redacted }
func (Token) GoString() string             { return redacted }
func (Token) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// parseToken reads the values of a request's Authorization header: `Bearer <key>` or the bare key.
// An unsupported scheme counts as no key: RFC 6750, section 3.1.
func parseToken(values []string) (Token, *Rejected) {
	if len(values) == 0 {
		return Token{}, noKeySent
	}
	if len(values) > 1 {
		return Token{}, malformedKey
	}
	if text, ok := strings.CutPrefix(values[0], "Bearer "); ok && text != "" && isTokenText(text) {
		return Token{text}, nil // the fast path for the usual spelling
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

// whiteSpace is OWS of RFC 9110, section 5.6.3.
const whiteSpace = " \t"

// isTokenText reports whether s is printable ASCII without spaces, and not too long.
func isTokenText(s string) bool {
	if len(s) > maxTokenLength {
		return false
	}
	for i := range len(s) {
		if s[i]-'!' > '~'-'!' { // bytes below '!' wrap around, so one comparison is enough
			return false
		}
	}
	return true
}

// isSchemeName reports whether s is a token of RFC 9110, section 5.6.2.
func isSchemeName(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}) < 0
}
