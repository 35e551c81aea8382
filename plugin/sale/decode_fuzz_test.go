package sale

import (
	"bytes"
	"encoding/json"
	"net/mail"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// What Decode takes, encoding/json takes too, and reads the same values from it.
func FuzzDecode(f *testing.F) {
	for _, metadata := range acceptedMetadata {
		f.Add([]byte(with("metadata", metadata)))
	}
	for member, raw := range map[string]string{
		"amount": "1.29e4", "currency": `"EUR"`, "eventName": `"\u0000"`, "leadEventName": `"\ud83d\ude00"`, "clickId": "null",
		"customerEmail": `"a@b\u00fccher.de"`, "customerAvatar": `"https://example.com/\u00e9"`, "unknown": `{"a":1,"\u0061":2}`, "": "",
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
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		sameValues(t, r, members)
		again := mustDecode(t, encode(t, r))
		if !reflect.DeepEqual(again, r) || again.Fingerprint() != r.Fingerprint() {
			t.Fatalf("%+v became %+v", r, again)
		}
	})
}

// sameValues compares a request with what encoding/json reads.
func sameValues(t *testing.T, r *Request, members map[string]json.RawMessage) {
	t.Helper()
	for _, c := range []struct{ member, got, missing string }{
		{"customerExternalId", r.CustomerExternalID, ""}, {"customerName", r.CustomerName, ""}, {"eventName", r.EventName, "Purchase"},
		{"leadEventName", r.LeadEventName, ""}, {"clickId", r.ClickID, ""},
	} {
		if want := stringValue(t, members[c.member]); want == nil && c.got != c.missing || want != nil && c.got != *want {
			t.Errorf("%s is %q, sent was %s", c.member, c.got, members[c.member])
		}
	}
	if want := stringValue(t, members["currency"]); want == nil && r.Currency != "usd" || want != nil && !strings.EqualFold(*want, r.Currency) {
		t.Errorf("currency is %q, sent was %s", r.Currency, members["currency"])
	}
	for member, got := range map[string]Optional{"customerEmail": r.CustomerEmail, "customerAvatar": r.CustomerAvatar} {
		raw, given := members[member]
		if got.Given != given || !reflect.DeepEqual(got.Value, stringValue(t, raw)) {
			t.Errorf("%s is %+v, sent was %s", member, got, raw)
		}
	}
	var amount float64 // holds every amount exactly
	if err := json.Unmarshal(members["amount"], &amount); err != nil || amount != float64(r.Amount) || r.Amount < 0 || r.Amount > maxAmount {
		t.Errorf("amount is %d, sent was %s: %v", r.Amount, members["amount"], err)
	}
	var metadata bytes.Buffer
	if raw := members["metadata"]; raw != nil && string(raw) != "null" {
		if err := json.Compact(&metadata, raw); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(metadata.Bytes(), r.Metadata) || len(r.Metadata) > maxMetadata {
		t.Errorf("metadata is %s, sent was %s", r.Metadata, members["metadata"])
	}
}

// stringValue is a string, nil for null and for nothing.
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

// encode writes a request as a client would.
func encode(t *testing.T, r *Request) string {
	t.Helper()
	members := map[string]any{
		"customerExternalId": r.CustomerExternalID, "amount": r.Amount, "currency": r.Currency, "eventName": r.EventName,
		"metadata": json.RawMessage(r.Metadata), "leadEventName": r.LeadEventName, "clickId": r.ClickID, "customerName": r.CustomerName,
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

func FuzzEmail(f *testing.F) {
	for _, email := range append(goodEmails, badEmails...) {
		f.Add(email)
	}
	f.Fuzz(func(t *testing.T, email string) {
		if !utf8.ValidString(email) || emailFault(email) != "" {
			return
		}
		local, host, _ := strings.Cut(email, "@")
		if len(email) > maxEmail || local == "" || len(local) > maxEmailName || strings.ContainsAny(email, " \"(),:;<>[\\]\r\n\x00") {
			t.Errorf("%q is taken", email)
		}
		checkHost(t, host, 2)
		if parsed, err := mail.ParseAddress(email); err != nil || parsed.Address != email {
			t.Errorf("%q is taken, net/mail reads %+v, %v", email, parsed, err)
		}
		if fault := emailFault(local + "@" + strings.ToUpper(host)); isASCII(host) && fault != "" {
			t.Errorf("%q %s in upper case", email, fault)
		}
	})
}

func FuzzAvatar(f *testing.F) {
	for _, avatar := range append(goodAvatars, badAvatars...) {
		f.Add(avatar)
	}
	f.Fuzz(func(t *testing.T, avatar string) {
		if !utf8.ValidString(avatar) || avatarFault(avatar) != "" {
			return
		}
		if len(avatar) > maxAvatar || strings.ContainsFunc(avatar, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) || strings.ContainsAny(avatar, "\"<>\\^`{|}") {
			t.Errorf("%q is taken", avatar)
		}
		parsed, err := url.Parse(withoutForeignUserinfo(avatar))
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			t.Fatalf("%q is taken, net/url reads %+v, %v", avatar, parsed, err)
		}
		if host := parsed.Hostname(); !strings.Contains(host, ":") {
			checkHost(t, strings.TrimSuffix(host, "."), 1)
		}
	})
}

// withoutForeignUserinfo drops a userinfo with non-ASCII characters, which
// net/url does not know.
func withoutForeignUserinfo(avatar string) string {
	scheme, rest, _ := strings.Cut(avatar, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if at := strings.LastIndexByte(rest[:end], '@'); at >= 0 && !isASCII(rest[:at]) {
		return scheme + "://" + rest[at+1:]
	}
	return avatar
}

// checkHost wants labels that DNS could hold.
func checkHost(t *testing.T, host string, least int) {
	t.Helper()
	labels := strings.Split(host, ".")
	if len(labels) < least || len(host) > 1000 {
		t.Errorf("%q is taken", host)
	}
	for _, label := range labels {
		if label == "" || isASCII(label) && len(label) > maxLabel || label[0] == '-' || strings.HasSuffix(label, "-") || strings.ContainsAny(label, " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}~\x7f") {
			t.Errorf("%q is taken", host)
		}
		if !isACE(label) {
			continue
		}
		if decoded, err := idna.Punycode.ToUnicode(strings.ToLower(label)); err != nil || isASCII(decoded) {
			t.Errorf("%q is taken, punycode decodes %q: %v", host, decoded, err)
		} else if encoded, err := idna.Punycode.ToASCII(decoded); err != nil || encoded != strings.ToLower(label) {
			t.Errorf("%q is taken, punycode encodes %q: %v", host, encoded, err)
		}
	}
}
