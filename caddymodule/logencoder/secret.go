package logencoder

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

const redacted = "REDACTED"

// redactURI replaces the secrets of a URL or of the target of a request: its userinfo, the values of
// parameters that are named like secrets, and API keys hidden by percent-encoding. maskKeys finds
// the others.
func redactURI(uri string) string {
	if !strings.ContainsAny(uri, "?#%@") {
		return uri
	}
	address, fragment, hasFragment := strings.Cut(uri, "#")
	address, query, hasQuery := strings.Cut(address, "?")
	if hidesKey(address) {
		address = redacted
	}
	out := append(make([]byte, 0, len(uri)+len(redacted)), redactUserinfo(address)...)
	if hasQuery {
		out = appendParameters(append(out, '?'), query)
	}
	if hasFragment { // of a Location, in which OAuth passes tokens
		out = appendParameters(append(out, '#'), fragment)
	}
	return string(out)
}

// redactUserinfo replaces the user name and password before the host of a URL.
func redactUserinfo(address string) string {
	start := strings.Index(address, "//")
	if start < 0 || strings.Contains(address[:start], "/") {
		return address
	}
	start += len("//")
	end := len(address)
	if slash := strings.IndexByte(address[start:], '/'); slash >= 0 {
		end = start + slash
	}
	at := strings.LastIndexByte(address[start:end], '@')
	if at < 0 {
		return address
	}
	return address[:start] + redacted + address[start+at:]
}

// appendParameters appends a query, but for the values that are secrets.
func appendParameters(dst []byte, query string) []byte {
	for i, parameter := range strings.Split(query, "&") {
		if i > 0 {
			dst = append(dst, '&')
		}
		name, value, hasValue := strings.Cut(parameter, "=")
		if hidesKey(name) {
			name = redacted
		}
		dst = append(dst, name...)
		if !hasValue {
			continue
		}
		if value != "" && (namesSecret(unescape(name)) || hidesKey(value)) {
			value = redacted
		}
		dst = append(append(dst, '='), value...)
	}
	return dst
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
// password or another proof of identity. It errs on the safe side.
func namesSecret(name string) bool {
	return slices.ContainsFunc(words(name), func(word string) bool {
		for _, part := range []string{"token", "secret", "passw", "authenti", "authoriz", "credential", "signature"} {
			if strings.Contains(word, part) {
				return true
			}
		}
		return strings.HasSuffix(word, "key") || strings.HasSuffix(word, "keys") || strings.HasSuffix(word, "auth") ||
			word == "jwt" || word == "pwd" || word == "sig"
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
