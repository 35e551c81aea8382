package sale

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/go-json-experiment/json/jsontext"
)

// fingerprintVersion comes first in what is hashed. Fingerprints are kept with
// their idempotency keys: one that is made in another way needs another
// version, and matches no key that was used before.
const fingerprintVersion = 1

// How an optional value is told apart from every other.
const (
	absent = iota
	null
	value
)

// Fingerprint identifies what is asked for: requests that are the same after
// defaults have the same one, and no others do. White space, the order of
// members and unknown members do not matter. An e-mail address or avatar that
// is absent differs from null; metadata is compared by value, its numbers by
// their text.
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

// appendText puts the length first, so that no two requests are one sequence of bytes.
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

// canonical is RFC 8785 except for numbers, which keep their text: members
// sorted, strings in their shortest form.
var canonical = []jsontext.Options{jsontext.ReorderRawObjects(true)}

func appendCanonical(b []byte, metadata []byte) []byte {
	if metadata == nil {
		return append(b, null)
	}
	// It cannot fail: Decode has read this very object. If it did, the text itself would follow.
	text, _ := jsontext.AppendFormat(nil, metadata, canonical...)
	b = binary.BigEndian.AppendUint32(append(b, value), uint32(len(text)))
	return append(b, text...)
}
