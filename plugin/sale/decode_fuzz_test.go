package sale

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzDecode checks that encoding/json reads the same values from every body that Decode accepts.
func FuzzDecode(f *testing.F) {
	for _, metadata := range acceptedMetadata {
		f.Add([]byte(with("metadata", metadata)))
	}
	for member, raw := range map[string]string{
		"amount": "1.29e4", "currency": `"EUR"`, "eventName": `"\u0000"`, "leadEventName": `"\ud83d\ude00"`,
		"clickId":       "null",
		"customerEmail": `"a@b\u00fccher.de"`, "customerAvatar": `"https://example.com/\u00e9"`,
		"unknown": `{"a":1,"\u0061":2}`, "": "",
	} {
		f.Add([]byte(with(member, raw)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sent := bytes.Clone(body)
		r, err := Decode(body)
		if !bytes.Equal(body, sent) {
			t.Fatalf("the body became %q", body)
		}
		if err != nil {
			checkReason(t, err)
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("encoding/json rejects it: %v", err)
		}
		sameValues(t, r, members)
		again := mustDecode(t, encode(t, r))
		if !reflect.DeepEqual(again, r) || again.Fingerprint() != r.Fingerprint() {
			t.Fatalf("%+v became %+v", r, again)
		}
	})
}

// sameValues compares a request with the members that encoding/json has read.
func sameValues(t *testing.T, r *Request, members map[string]json.RawMessage) {
	t.Helper()
	for _, c := range []struct{ member, got, missing string }{
		{"customerExternalId", r.CustomerExternalID, ""}, {"customerName", r.CustomerName, ""},
		{"eventName", r.EventName, "Purchase"},
		{"leadEventName", r.LeadEventName, ""}, {"clickId", r.ClickID, ""},
	} {
		if want := stringValue(t, members[c.member]); want == nil && c.got != c.missing ||
			want != nil && c.got != *want {
			t.Errorf("%s is %q, not %s", c.member, c.got, members[c.member])
		}
	}
	if want := stringValue(t, members["currency"]); want == nil && r.Currency != "usd" ||
		want != nil && !strings.EqualFold(*want, r.Currency) {
		t.Errorf("currency is %q, not %s", r.Currency, members["currency"])
	}
	for member, got := range map[string]Optional{"customerEmail": r.CustomerEmail, "customerAvatar": r.CustomerAvatar} {
		raw, given := members[member]
		if got.Given != given || !reflect.DeepEqual(got.Value, stringValue(t, raw)) {
			t.Errorf("%s is %+v, not %s", member, got, raw)
		}
	}
	var amount float64 // holds every amount exactly
	if err := json.Unmarshal(members["amount"], &amount); err != nil || amount != float64(r.Amount) ||
		r.Amount < 0 || r.Amount > maxAmount {
		t.Errorf("amount is %d, not %s: %v", r.Amount, members["amount"], err)
	}
	var metadata bytes.Buffer
	if raw := members["metadata"]; raw != nil && string(raw) != "null" {
		if err := json.Compact(&metadata, raw); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(metadata.Bytes(), r.Metadata) || len(r.Metadata) > maxMetadata {
		t.Errorf("metadata is %s, not %s", r.Metadata, members["metadata"])
	}
}

// stringValue returns the string in raw, or nil if raw is null or missing.
func stringValue(t *testing.T, raw json.RawMessage) (value *string) {
	t.Helper()
	if raw == nil {
		return nil
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		t.Error(err)
	}
	return value
}

// encode returns a request as JSON, as a client would send it.
func encode(t *testing.T, r *Request) string {
	t.Helper()
	members := map[string]any{
		"customerExternalId": r.CustomerExternalID, "amount": r.Amount, "currency": r.Currency,
		"eventName": r.EventName,
		"metadata":  json.RawMessage(r.Metadata), "leadEventName": r.LeadEventName, "clickId": r.ClickID,
		"customerName": r.CustomerName,
	}
	if r.CustomerEmail.Given {
		members["customerEmail"] = r.CustomerEmail.Value
	}
	if r.CustomerAvatar.Given {
		members["customerAvatar"] = r.CustomerAvatar.Value
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // metadata is compared by its bytes
	if err := encoder.Encode(members); err != nil {
		t.Fatal(err)
	}
	return body.String()
}
