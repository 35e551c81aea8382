package sale

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// optionalText reads a string of at most so many characters; null is missing.
func (d *decoder) optionalText(member string, most int, missing string) (string, error) {
	text, given, err := d.boundedText(member, 0, most)
	if err != nil || !given {
		return missing, err
	}
	return text, nil
}

// requiredText reads a string of so many characters, which null is not.
func (d *decoder) requiredText(member string, least, most int) (string, error) {
	text, given, err := d.boundedText(member, least, most)
	if err == nil && !given {
		return "", invalid(member, "must not be null")
	}
	return text, err
}

// clearable reads a string in which fault finds nothing wrong, or the null
// that clears what is stored.
func (d *decoder) clearable(member string, fault func(string) string) (Optional, error) {
	text, given, err := d.anyText(member)
	if err != nil {
		return Optional{}, err
	}
	if !given {
		return Optional{Given: true}, nil
	}
	if reason := fault(text); reason != "" {
		return Optional{}, invalid(member, reason)
	}
	return Optional{Given: true, Value: &text}, nil
}

// currency reads three ASCII letters.
func (d *decoder) currency() (string, error) {
	text, given, err := d.anyText("currency")
	if err != nil || !given {
		return defaultCurrency, err
	}
	if len(text) != 3 {
		return "", invalid("currency", "must be three ASCII letters")
	}
	var lower [3]byte
	for i := range lower {
		lower[i] = text[i] | 0x20
		if lower[i] < 'a' || lower[i] > 'z' {
			return "", invalid("currency", "must be three ASCII letters")
		}
	}
	if string(lower[:]) == text {
		return text, nil
	}
	return string(lower[:]), nil
}

// boundedText reads a string of so many characters, which are Unicode code points;
// not given is null.
func (d *decoder) boundedText(member string, least, most int) (text string, given bool, err error) {
	text, given, err = d.anyText(member)
	if err != nil || !given {
		return "", given, err
	}
	switch characters := utf8.RuneCountInString(text); {
	case characters < least:
		return "", true, invalid(member, "must not be empty")
	case characters > most:
		return "", true, invalid(member, "must be at most "+strconv.Itoa(most)+" characters")
	}
	return text, true, nil
}

// anyText reads a string that Postgres can store, as it was sent; not given is null.
func (d *decoder) anyText(member string) (text string, given bool, err error) {
	kind, err := d.kind()
	if err != nil {
		return "", false, err
	}
	switch kind {
	case jsontext.KindNull:
		return "", false, d.null()
	case jsontext.KindString:
	default:
		return "", false, invalid(member, "must be a string")
	}
	raw, err := d.json.ReadValue()
	if err != nil {
		return "", false, d.malformed(err)
	}
	if hasNUL(raw) {
		return "", false, invalid(member, "must not contain NUL (U+0000)")
	}
	return string(d.unescape(raw)), true, nil
}

// unescape is the text of a JSON string, valid until the next one is read.
func (d *decoder) unescape(quoted jsontext.Value) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	// It cannot fail: jsontext has just read this string.
	d.text, _ = jsontext.AppendUnquote(d.text[:0], quoted)
	return d.text
}
