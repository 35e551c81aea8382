package logencoder

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

const redacted = "REDACTED"

// redactURI replaces the secrets of a URL or of the target of a request: its userinfo, the values
// of parameters that are named like secrets or hold a URL with some, and API keys hidden by
// percent-encoding. maskKeys finds the others.
func redactURI(uri string) string { return redactNested(uri, maxNesting) }

// maxNesting is how many URLs within URLs are looked into. A client may write thousands.
const maxNesting = 3

func redactNested(uri string, nesting int) string {
	if !strings.ContainsAny(uri, "?#&;=%@") {
		return uri
	}
	uri = redactUserinfo(uri)
	out := make([]byte, 0, len(uri)+len(redacted))
	// Parameters follow the path, as in /a;b=c, make up the query and, as OAuth passes tokens, the
	// fragment. A query may hold a URL as it is: /?next=/a?b=c.
	for first := true; ; first = false {
		end := strings.IndexAny(uri, "?#&;")
		if end < 0 {
			return string(appendPart(out, uri, first, nesting))
		}
		out = append(appendPart(out, uri[:end], first, nesting), uri[end])
		uri = uri[end+1:]
	}
}

// redactUserinfo replaces the user name and password before the host of a URL.
func redactUserinfo(address string) string {
	start := strings.Index(address, "//")
	if start < 0 || strings.ContainsAny(address[:start], "/?#") {
		return address
	}
	start += len("//")
	end := len(address)
	if length := strings.IndexAny(address[start:], "/?#"); length >= 0 {
		end = start + length
	}
	at := strings.LastIndexByte(address[start:end], '@')
	if at < 0 {
		return address
	}
	return address[:start] + redacted + address[start+at:]
}

// appendPart appends what is between two separators, but for secrets: an address, which only the
// first part can be, or a parameter.
func appendPart(dst []byte, part string, first bool, nesting int) []byte {
	name, value, hasValue := strings.Cut(part, "=")
	if !hasValue || first && strings.Contains(part, "/") {
		if hidesKey(part) {
			part = redacted
		}
		return append(dst, part...)
	}
	if hidesKey(name) {
		name = redacted
	}
	if value != "" && (namesSecret(unescape(name)) || hidesKey(value) || hidesSecret(value, nesting)) {
		value = redacted
	}
	return append(append(append(dst, name...), '='), value...)
}

// hidesSecret reports whether a value is a percent-encoded URL, or query, with a secret.
func hidesSecret(value string, nesting int) bool {
	if nesting == 0 || strings.IndexByte(value, '%') < 0 {
		return false
	}
	plain := unescape(value)
	return redactNested(plain, nesting-1) != plain
}

// unescape returns the text as it is if it is not percent-encoded correctly.
func unescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// hidesKey reports whether text contains an API key once it is percent-decoded.
func hidesKey(text string) bool {
	return strings.IndexByte(text, '%') >= 0 && maskKeys([]byte(unescape(text)))
}

// namesSecret reports whether a parameter of this name holds a secret: a key, token, secret,
// password, session or another proof of identity. It errs on the safe side.
func namesSecret(name string) bool {
	return slices.ContainsFunc(words(name), func(word string) bool {
		for _, part := range []string{"token", "secret", "passw", "authenti", "authoriz", "credential", "signature",
			"session", "bearer", "passphrase", "passcode"} {
			if strings.Contains(word, part) {
				return true
			}
		}
		return strings.HasSuffix(word, "key") || strings.HasSuffix(word, "keys") || strings.HasSuffix(word, "auth") ||
			strings.HasSuffix(word, "sid") || slices.Contains([]string{"jwt", "otp", "pass", "pwd", "sessid", "sig"}, word)
	})
}

// words splits a name such as access_token, apiKey or X-Auth[key] and lowercases the parts.
func words(name string) []string {
	var separated []rune
	lower := false
	for _, r := range name {
		if lower && unicode.IsUpper(r) {
			separated = append(separated, ' ')
		}
		lower = unicode.IsLower(r)
		separated = append(separated, unicode.ToLower(r))
	}
	return strings.FieldsFunc(string(separated), func(r rune) bool { return !unicode.IsLetter(r) })
}

const (
	keyPrefix  = "hoko_"
	keyStart   = 4  // characters after the prefix by which keys are listed
	leastOfKey = 16 // characters after the prefix that are taken for a part of a key; names have fewer
)

// maskKeys overwrites all but the start of what has the form of an API key, or of most of one, and
// reports whether there was any.
func maskKeys(text []byte) (found bool) {
	for {
		at := bytes.Index(text, []byte(keyPrefix))
		if at < 0 {
			return found
		}
		text = text[at+len(keyPrefix):]
		end := bytes.IndexFunc(text, func(r rune) bool { return !isBase62(r) })
		if end < 0 {
			end = len(text)
		}
		if end >= leastOfKey {
			found = true
			for i := keyStart; i < end; i++ {
				text[i] = '*'
			}
		}
		text = text[end:]
	}
}

func isBase62(r rune) bool {
	return '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
}
