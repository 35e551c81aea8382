package contract

import (
	"fmt"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

// with returns a valid sale with one member added or replaced.
func with(member, value string) string {
	members := map[string]string{"customerExternalId": `"customer_123"`, "amount": `12900`,
		"customerName": `"John Doe"`}
	members[member] = value
	var pairs []string
	for name, value := range members {
		pairs = append(pairs, fmt.Sprintf("%q:%s", name, value))
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

func quoted(text string) string { return `"` + text + `"` }

// Breaks every rule for the members of the body.
func TestBody_InvalidIs400AndLeavesNothing(t *testing.T) {
	const marker = "marker" // part of values; must appear neither in answers nor in the log
	long := func(n int) string { return quoted(marker + strings.Repeat("ع", n-len(marker))) }
	nested := func(levels int) string {
		return strings.Repeat(`{"marker":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
	}
	bad := []struct{ member, body string }{
		{"body", ``}, {"body", `null`}, {"body", `"marker"`}, {"body", `[` + harness.ValidSale + `]`},
		{"body", harness.ValidSale + `{}`}, {"body", "\ufeff" + harness.ValidSale},
		{"body", `{"marker":1,"marker":2,` + harness.ValidSale[1:]},
		{"body", `{"x":[{"marker":1,"\u006darker":2}],` + harness.ValidSale[1:]},
		{"body", `{"x":"\ud800",` + harness.ValidSale[1:]}, {"body", "{\"x\":\"\xff\"," + harness.ValidSale[1:]},
		{"body", harness.ValidSale[:len(harness.ValidSale)-1]},
		{"body", `{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "," + harness.ValidSale[1:]},
		{"customerExternalId", strings.Replace(harness.ValidSale, "customerExternalId", "CustomerExternalId", 1)},
		{"amount", strings.Replace(harness.ValidSale, "amount", "Amount", 1)},
		{"customerName", strings.Replace(harness.ValidSale, "customerName", "customername", 1)},
	}
	for member, values := range map[string][]string{
		"customerExternalId": {`""`, long(101), `null`, `1`, `"marker\u0000"`},
		"amount":             {`-1`, `"12900"`, `0.5`, `1e999999999`, `9007199254740992`, `null`},
		"currency":           {`"marker"`, `"us"`, `"ريا"`, `1`},
		"eventName":          {long(256), `"\u0000"`, `{}`},
		"metadata": {`"marker"`, `[]`, nested(33), `{"marker":1e309}`, `{"marker":1e-400}`, `{"marker":0e401}`,
			`{"marker":"\u0000"}`, `{"a":` + quoted(strings.Repeat("m", 10_000)) + `}`},
		"leadEventName": {long(256), `false`},
		"clickId":       {long(256), `7`, `"marker"`},
		"customerName":  {long(101), `null`},
		"customerEmail": {`""`, `"marker@localhost"`, `"marker@example.com."`, `"\"marker\"@example.com"`,
			`"marker@a..b"`, `"marker@[127.0.0.1]"`, quoted(strings.Repeat("m", 65) + "@example.com"),
			`"marker @example.com"`},
		"customerAvatar": {`"marker"`, `"ftp://marker.example"`, `"http://marker<b"`, `"https:///marker"`,
			`"https://marker.example:65536/"`, quoted("https://example.com/" + strings.Repeat("m", 2048))},
	} {
		for _, value := range values {
			bad = append(bad, struct{ member, body string }{member, with(member, value)})
		}
	}
	s, c := harness.StartStackAndClient(t, "HTTP/2.0", nil)
	const everything = `SELECT (SELECT count(*) FROM hoko.sales) + (SELECT count(*) FROM hoko.idempotency_keys)
		+ (SELECT count(*) FROM hoko.customers WHERE id <> 'customer_123' OR name <> 'John Doe' OR email IS NOT NULL
		OR avatar IS NOT NULL)`
	for _, tc := range bad {
		got := s.Sell(t, c, tc.body)
		reason := got.Header.Get("Hoko-Reason")
		if got.StatusCode != 400 || got.Text != harness.Body400 || !strings.HasPrefix(reason, tc.member+": ") ||
			strings.Contains(reason, marker) {
			t.Errorf("%.120s: got %d %s, Hoko-Reason %q", tc.body, got.StatusCode, got.Text, reason)
			continue
		}
		s.Log.Wait(t, got.Header.Get("X-Request-Id"), `"reason":"`+tc.member+": ")
	}
	if strings.Contains(s.Log.String(), marker) {
		t.Error("a client's value is in the log")
	}
	if n := s.DB.Count(everything); n != 0 {
		t.Errorf("%d rows were written", n)
	}
	harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
}
