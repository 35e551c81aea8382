package logencoder

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

const redacted = "REDACTED"

// Redact returns text, such as a path or a URL, without the secrets that the log omits.
func Redact(text string) string {
	masked := []byte(redactURI(text))
	maskKeys(masked)
	return string(masked)
}

// redactURI replaces the secrets in a URL or request target: its userinfo, the values of parameters
// that have the name of a secret or contain a URL with secrets, and percent-encoded API keys.
// maskKeys masks other API keys.
func redactURI(uri string) string { return redactNested(uri, maxNesting) }

// maxNesting limits how deep redactURI follows URLs within URLs, because a client may nest
// thousands.
const maxNesting = 3

func redactNested(uri string, nesting int) string {
	if !strings.ContainsAny(uri, "?#&;=%@") {
		return uri
	}
	uri = redactUserinfo(uri)
	out := make([]byte, 0, len(uri)+len(redacted))
	// There are parameters in the path (/a;b=c), in the query and, as OAuth passes tokens, in the
	// fragment. A query may contain an unencoded URL: /?next=/a?b=c.
	for first := true; ; first = false {
		end := strings.IndexAny(uri, "?#&;")
		if end < 0 {
			return string(appendPart(out, uri, first, nesting))
		}
		out = append(appendPart(out, uri[:end], first, nesting), uri[end])
		uri = uri[end+1:]
	}
}

// redactUserinfo replaces the user name and password in a URL.
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

// appendPart appends a parameter, or the address with which a URL starts, without secrets.
func appendPart(dst []byte, part string, first bool, nesting int) []byte {
	name, value, hasValue := strings.Cut(part, "=")
	if !hasValue || first && strings.Contains(part, "/") {
		if encodesKey(part) {
			part = redacted
		}
		return append(dst, part...)
	}
	if encodesKey(name) {
		name = redacted
	}
	if value != "" && (isSecretName(unescape(name)) || encodesKey(value) || encodesSecret(value, nesting)) {
		value = redacted
	}
	return append(append(append(dst, name...), '='), value...)
}

// encodesSecret reports whether a value is a percent-encoded URL or query with a secret.
func encodesSecret(value string, nesting int) bool {
	if nesting == 0 || strings.IndexByte(value, '%') < 0 {
		return false
	}
	plain := unescape(value)
	return redactNested(plain, nesting-1) != plain
}

// unescape percent-decodes text. It returns text that cannot be decoded as it is.
func unescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// encodesKey reports whether text contains a percent-encoded API key.
func encodesKey(text string) bool {
	return strings.IndexByte(text, '%') >= 0 && maskKeys([]byte(unescape(text)))
}

// isSecretName reports whether a parameter of this name may hold a secret, such as a key, token,
// password or session ID. When in doubt, it returns true.
func isSecretName(name string) bool {
	return slices.ContainsFunc(words(name), func(word string) bool {
		for _, part := range []string{"token", "secret", "passw", "authenti", "authoriz", "credential", "signature",
			"session", "bearer", "passphrase", "passcode"} {
			if strings.Contains(word, part) {
				return true
			}
		}
		return strings.HasSuffix(word, "key") || strings.HasSuffix(word, "keys") ||
			strings.HasSuffix(word, "auth") || strings.HasSuffix(word, "sid") ||
			slices.Contains([]string{"jwt", "otp", "pass", "pwd", "sessid", "sig"}, word)
	})
}

// words returns the lowercase words of a name such as access_token, apiKey or X-Auth[key].
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
	keyPrefix = "hoko_"
	shownLen  = 4  // characters after the prefix that stay visible, as in `caddy hoko keys list`
	minKeyLen = 16 // characters after the prefix that make it a key; names such as hoko_auth_total have fewer
)

// maskKeys overwrites all but the start of each text that looks like an API key, or part of one,
// and reports whether it found any.
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
		if end >= minKeyLen {
			found = true
			for i := shownLen; i < end; i++ {
				text[i] = '*'
			}
		}
		text = text[end:]
	}
}

func isBase62(r rune) bool {
	return '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
}
