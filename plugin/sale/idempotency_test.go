package sale

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func FuzzIdempotencyKey(f *testing.F) {
	for _, key := range []string{"", "order 1", `"quoted"`, "a,b", "\x00", "ü", strings.Repeat("k", 255),
		strings.Repeat("k", 256), "\xff", "a\r\nb"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, line string) {
		key, err := parseIdempotencyKey([]string{line})
		good := line != "" && len(line) <= 255 &&
			strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) < 0
		if good != (err == nil) || good && key != line {
			t.Errorf("%q gives %q, %v", line, key, err)
		}
		if err != nil && (key != "" || err.Error() != "Idempotency-Key: must be 1 to 255 printable ASCII characters") {
			t.Errorf("%q gives %q, %v", line, key, err)
		}
		if _, err := parseIdempotencyKey([]string{line, line}); err == nil {
			t.Error("two lines are accepted")
		}
	})
}

// Fingerprints are stored. If one of these changes, a retry across an upgrade is answered 422.
func TestFingerprint_NeverChanges(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{with("", ""), "fe2a6f5dcbe3482bd5396a7d64d575e6c5267791f566a48680d543325d1f3d64"},
		{`{"customerExternalId":"customer_123","amount":12900,"currency":"usd","eventName":"Invoice paid",
			"customerName":"John Doe","customerEmail":"john@example.com"}`,
			"dc2bb28229fcf4d0c3538ccaef01420d66e6f8dfe32474c393d5cc022143da44"},
		{`{"customerExternalId":"عميل 😀","amount":9007199254740991,"currency":"SAR","eventName":"",
			"leadEventName":"Sign up","clickId":"click_abc123","customerName":"","customerEmail":null,
			"customerAvatar":"https://example.com/ا.png",
			"metadata":{"b":[1.0,-0,1E5,1e5,123456789012345678901234567890],
			"a":{"\u007a":null,"y":true,"\u0001\b\n\/\u2028é😀":"\u0041\"\\"},"":[],"ﬀ":1,"😀":2}}`,
			"26054d0a59e9eb918fe47a267871d6dbf236a5d0926cbcd0b92e4331bf2c40b4"},
		{with("metadata", "{}"), "7a9c06f4691b8563f840e39844a40e19ba3d2bc91c4c73c24fbbd725d6ed43d5"},
	} {
		sum := mustDecode(t, c.body).Fingerprint()
		if got := hex.EncodeToString(sum[:]); got != c.want {
			t.Errorf("%s has the fingerprint %s, want %s", c.body, got, c.want)
		}
	}
}

func TestFingerprint_EqualForEqualRequests(t *testing.T) {
	for _, same := range [][]string{
		{
			with("", ""), " " + strings.ReplaceAll(with("", ""), ":", " : ") + "\n", with("unknown", `[1]`),
			with("currency", `"usd"`), with("currency", `"USD"`), with("currency", "null"),
			with("eventName", `"Purchase"`), with("eventName", "null"), with("eventName", `"\u0050urchase"`),
			with("metadata", "null"),
			with("leadEventName", "null"), with("leadEventName", `""`), with("clickId", "null"), with("clickId", `""`),
			with("amount", "12900.0"), with("amount", "1.29e4"), with("customerName", `"John\u0020Doe"`),
		},
		{with("metadata", "{}"), with("metadata", "{ }")},
		{with("metadata", `{"a":1,"b":{"c":"d","e":[{"f":1,"g":2}]}}`),
			with("metadata", `{"b":{"e":[{"g":2,"f":1}],"\u0063":"\u0064"},"a":1}`)},
		{with("metadata", `{"a":"é\/\t"}`), with("metadata", `{"a":"\u00e9/\u0009"}`),
			with("metadata", `{"\u0061" : "\u00E9/\u0009"}`)},
		{with("metadata", `{"a":"😀"}`), with("metadata", `{"a":"\ud83d\ude00"}`)},
		{with("customerEmail", "null"), with("customerEmail", " null ")},
	} {
		want := mustDecode(t, same[0]).Fingerprint()
		for _, body := range same[1:] {
			if mustDecode(t, body).Fingerprint() != want {
				t.Errorf("%s and %s have different fingerprints", same[0], body)
			}
		}
	}
}

func TestFingerprint_DiffersForOtherRequests(t *testing.T) {
	different := []string{
		with("", ""), with("customerExternalId", `"customer_124"`), with("customerExternalId", `"Customer_123"`),
		with("amount", "0"), with("amount", "12901"), with("currency", `"eur"`), with("eventName", `""`),
		with("eventName", `"purchase"`), with("customerName", `""`), with("customerName", `"John Doe "`),
		with("leadEventName", `"x"`), with("clickId", `"x"`), with("customerEmail", "null"),
		with("customerEmail", `"a@b.c"`), with("customerEmail", `"A@b.c"`), with("customerAvatar", "null"),
		with("customerAvatar", `"https://b.c"`), with("customerAvatar", `"https://b.c/"`),
	}
	for _, metadata := range []string{`{}`, `{"a":null}`, `{"a":{}}`, `{"a":[]}`, `{"A":[]}`, `{"a":""}`, `{"a":"1"}`,
		`{"a":1}`, `{"a":1.0}`, `{"a":1e0}`, `{"a":1E0}`, `{"a":1e+0}`, `{"a":0}`, `{"a":-0}`, `{"a":true}`,
		`{"a":false}`, `{"a":9007199254740992}`, `{"a":9007199254740993}`, `{"a":[1,2]}`, `{"a":[2,1]}`, `{"a":"é"}`,
		`{"a":"e\u0301"}`, `{"a":"\\u00e9"}`, `{"b":1}`, `{"a":1,"b":2}`, `{"a":2,"b":1}`, `{"a":{"b":2}}`} {
		different = append(different, with("metadata", metadata))
	}
	// The same letters in other members, which the hashed lengths distinguish.
	for _, split := range []string{`"leadEventName":"ab"`, `"clickId":"ab"`, `"leadEventName":"a","clickId":"b"`,
		`"leadEventName":"b","clickId":"a"`} {
		different = append(different, with("", "")[:1]+split+","+with("", "")[1:])
	}
	seen := map[[32]byte]string{}
	for _, body := range different {
		sum := mustDecode(t, body).Fingerprint()
		if other, ok := seen[sum]; ok {
			t.Errorf("%s and %s have the same fingerprint", other, body)
		}
		seen[sum] = body
	}
}

func TestFingerprint_DoesNotChangeTheRequest(t *testing.T) {
	const metadata = `{"b":"\u0041","a":[{"d":1,"c":2}]}`
	r := mustDecode(t, with("metadata", metadata))
	first := r.Fingerprint()
	if string(r.Metadata) != metadata {
		t.Errorf("metadata became %s", r.Metadata)
	}
	if r.Fingerprint() != first {
		t.Error("a second fingerprint differs")
	}
}

// FuzzFingerprint changes white space, member order and escapes, which do not matter.
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
			t.Fatalf("%s is rejected: %v", other, err)
		}
		if again.Fingerprint() != r.Fingerprint() {
			t.Errorf("%s and %s differ", body, other)
		}
		changed := *r
		changed.Amount++
		if changed.Fingerprint() == r.Fingerprint() {
			t.Error("the fingerprint ignores the amount")
		}
	})
}
