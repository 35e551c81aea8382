package sale

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// White space, the order of members and the spelling of strings are no part of a request.
func FuzzFingerprint(f *testing.F) {
	for _, metadata := range acceptedMetadata {
		f.Add([]byte(with("metadata", metadata)))
	}
	f.Add([]byte(with("customerEmail", `"a@example.com"`)))
	f.Add([]byte(with("unknown", `[{"b":1,"a":"\u00e9"}]`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Decode(body)
		if err != nil {
			return
		}
		other := jsontext.Value(bytes.Clone(body))
		if err := other.Format(jsontext.ReorderRawObjects(true), jsontext.WithIndent("  ")); err != nil {
			t.Fatal(err)
		}
		again, err := Decode(other)
		if err != nil {
			t.Fatalf("%s is refused: %v", other, err)
		}
		if again.Fingerprint() != r.Fingerprint() {
			t.Errorf("%s and %s differ", body, other)
		}
		changed := *r
		changed.Amount++
		if changed.Fingerprint() == r.Fingerprint() {
			t.Error("another amount is the same request")
		}
	})
}
