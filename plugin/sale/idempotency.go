package sale

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxIdempotencyKey is the max length of an Idempotency-Key, in bytes.
const maxIdempotencyKey = 255

// parseIdempotencyKey returns the key in the lines of the Idempotency-Key header, or "" if there
// are none. The key is opaque: quotes and commas are part of it.
func parseIdempotencyKey(lines []string) (string, error) {
	if len(lines) == 0 {
		return "", nil
	}
	if len(lines) > 1 {
		return "", invalid("Idempotency-Key", "must be sent once")
	}
	key := lines[0]
	if key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, isUnprintable) {
		return "", invalid("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
	}
	return key, nil
}

func isUnprintable(r rune) bool { return r < ' ' || r > '~' }

// fingerprintVersion is the first hashed byte. It must change with what is hashed, because
// fingerprints are stored. A retry across such an upgrade is then answered 422.
const fingerprintVersion = 1

// Tags of an optional value in a fingerprint.
const (
	absent = iota
	null
	value
)

// Fingerprint returns a SHA-256 that is the same for two requests if and only if they are equal.
// They are compared after defaults: white space, member order and unknown members do not matter. An
// absent e-mail address or avatar differs from null. Metadata is compared by value, and its numbers
// by their text.
func (r *Request) Fingerprint() [sha256.Size]byte {
	b := make([]byte, 0, 512+len(r.Metadata))
	b = append(b, fingerprintVersion)
	b = appendText(b, r.CustomerExternalID)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Amount))
	b = appendText(b, r.Currency)
	b = appendText(b, r.EventName)
	b = appendCanonical(b, r.Metadata)
	b = appendText(b, r.LeadEventName)
	b = appendText(b, r.ClickID)
	b = appendText(b, r.CustomerName)
	b = appendOptional(b, r.CustomerEmail)
	b = appendOptional(b, r.CustomerAvatar)
	return sha256.Sum256(b)
}

// appendText appends the length before the text, so that different requests never hash equal bytes.
func appendText(b []byte, text string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	return append(b, text...)
}

func appendOptional(b []byte, o Optional) []byte {
	switch {
	case !o.Given:
		return append(b, absent)
	case o.Value == nil:
		return append(b, null)
	}
	return appendText(append(b, value), *o.Value)
}

// canonical is RFC 8785 (sorted members, minimal escapes), except that numbers keep their text.
var canonical = []jsontext.Options{jsontext.ReorderRawObjects(true)}

func appendCanonical(b []byte, metadata []byte) []byte {
	if metadata == nil {
		return append(b, null)
	}
	// The error is always nil, because Decode has read this object.
	text, _ := jsontext.AppendFormat(nil, metadata, canonical...)
	b = binary.BigEndian.AppendUint32(append(b, value), uint32(len(text)))
	return append(b, text...)
}
