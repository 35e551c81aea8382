package sale

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"hoko.to/edge/internal/testkit"
)

// with returns a valid body in which member has this raw JSON value, or is missing if raw is "".
func with(member, raw string) string {
	values := []string{"customerExternalId", `"customer_123"`, "amount", "12900", "customerName", `"John Doe"`}
	var body strings.Builder
	separator := "{"
	for i := 0; i < len(values); i += 2 {
		if values[i] == member {
			continue
		}
		fmt.Fprintf(&body, "%s%q:%s", separator, values[i], values[i+1])
		separator = ","
	}
	if raw != "" {
		fmt.Fprintf(&body, "%s%q:%s", separator, member, raw)
	}
	return body.String() + "}"
}

func mustDecode(t testing.TB, body string) *Request {
	t.Helper()
	r, err := Decode([]byte(body))
	if err != nil {
		t.Fatalf("%.300q is rejected: %v", body, err)
	}
	return r
}

// mustReject checks that Decode returns an error of this text, or none if want is "".
func mustReject(t testing.TB, body, want string) {
	t.Helper()
	r, err := Decode([]byte(body))
	if want == "" {
		if err != nil {
			t.Errorf("%.300q is rejected: %v", body, err)
		}
		return
	}
	if _, ok := errors.AsType[*InvalidError](err); !ok || r != nil {
		t.Errorf("%.300q gives %+v, %v, want %q", body, r, err, want)
	} else if err.Error() != want {
		t.Errorf("%.300q is rejected with %q, want %q", body, err, want)
	}
}

func TestDecode_ReadsThePublishedExample(t *testing.T) {
	got := mustDecode(t, `{
		"customerExternalId": "customer_123",
		"amount": 12900,
		"currency": "usd",
		"eventName": "Invoice paid",
		"customerName": "John Doe",
		"customerEmail": "john@example.com"
	}`)
	email := "john@example.com"
	want := &Request{
		CustomerExternalID: "customer_123", Amount: 12900, Currency: "usd", EventName: "Invoice paid",
		CustomerName: "John Doe", CustomerEmail: Optional{Given: true, Value: &email},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDecode_ReadsEveryMember(t *testing.T) {
	got := mustDecode(t, `{"clickId":"click_abc123","leadEventName":"Sign up","metadata":{ "invoiceId" : "inv_123" },
		"customerAvatar":"https://example.com/a.png","customerEmail":null,"customerName":"\u062d\u0633\u0646 😀",
		"eventName":"","currency":"sAr","amount":1.29e4,"customerExternalId":"c","\u0061mounts":[1,{"a":null}]}`)
	avatar := "https://example.com/a.png"
	want := &Request{
		CustomerExternalID: "c", Amount: 12900, Currency: "sar", Metadata: []byte(`{"invoiceId":"inv_123"}`),
		LeadEventName: "Sign up", ClickID: "click_abc123", CustomerName: "حسن 😀",
		CustomerEmail: Optional{Given: true}, CustomerAvatar: Optional{Given: true, Value: &avatar},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDecode_FillsInDefaults(t *testing.T) {
	want := &Request{CustomerExternalID: "customer_123", Amount: 12900, Currency: "usd", EventName: "Purchase",
		CustomerName: "John Doe"}
	for _, body := range []string{
		with("", ""), with("currency", "null"), with("eventName", "null"), with("metadata", "null"),
		with("leadEventName", "null"), with("leadEventName", `""`), with("clickId", "null"), with("clickId", `""`),
		with("unknown", `{"amount":"x","deep":[[1e999999999]]}`), with("Currency", `1`), with("eventname", `1`),
		with(" metadata", `1`), with("CLICKID", `1`),
	} {
		if got := mustDecode(t, body); !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %+v, want %+v", body, got, want)
		}
	}
}

func TestDecode_DistinguishesAbsentFromNull(t *testing.T) {
	for _, member := range []string{"customerEmail", "customerAvatar"} {
		field := func(r *Request) Optional {
			if member == "customerEmail" {
				return r.CustomerEmail
			}
			return r.CustomerAvatar
		}
		if got := field(mustDecode(t, with("", ""))); got.Given || got.Value != nil {
			t.Errorf("absent %s is %+v", member, got)
		}
		if got := field(mustDecode(t, with(member, "null"))); !got.Given || got.Value != nil {
			t.Errorf("null %s is %+v", member, got)
		}
	}
}

func TestDecode_RequiresMembersWithoutDefault(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"{}", "customerExternalId: is required"},
		{with("customerExternalId", ""), "customerExternalId: is required"},
		{with("amount", ""), "amount: is required"},
		{with("customerName", ""), "customerName: is required"},
		{with("customerExternalId", "null"), "customerExternalId: must not be null"},
		{with("amount", "null"), "amount: must be a non-negative integer"},
		{with("customerName", "null"), "customerName: must not be null"},
		{`{"CustomerExternalId":"c","Amount":1,"CustomerName":"n"}`, "customerExternalId: is required"},
		{`{"customerExternalId":"c","Amount":1,"customerName":"n"}`, "amount: is required"},
		{`{"customerExternalId":"c","amount":1,"customername":"n"}`, "customerName: is required"},
	} {
		mustReject(t, c.body, c.want)
	}
}

func TestDecode_DoesNotKeepTheBody(t *testing.T) {
	body := []byte(with("metadata", `{"a":"b"}`))
	sent := string(body)
	r, err := Decode(body)
	testkit.NoError(t, err)
	if string(body) != sent {
		t.Errorf("the body became %s", body)
	}
	for i := range body {
		body[i] = '#'
	}
	if want := mustDecode(t, sent); !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

func TestDecode_SharesNothingBetweenRequests(t *testing.T) {
	first := mustDecode(t,
		`{"metadata":{"a":"b"},"customerExternalId":"\u0041\u0042","amount":1,"customerName":"\u0043"}`)
	second := mustDecode(t,
		`{"metadata":{"x":"y"},"customerExternalId":"\u0058\u0059","amount":1,"customerName":"\u005a"}`)
	if first.CustomerExternalID+first.CustomerName+string(first.Metadata) != `ABC{"a":"b"}` {
		t.Errorf("the second request changed it to %+v", first)
	}
	if second.CustomerExternalID+second.CustomerName+string(second.Metadata) != `XYZ{"x":"y"}` {
		t.Errorf("the first request changed it to %+v", second)
	}
}

func TestDecode_IsSafeForConcurrentUse(t *testing.T) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				name := fmt.Sprintf("n%d-%d \\u00e9", i, j)
				r, err := Decode([]byte(with("metadata", `{"\u0061":"`+name+`"}`)))
				if want := `{"\u0061":"` + name + `"}`; err != nil || string(r.Metadata) != want {
					t.Errorf("got %+v, %v, want %s", r, err, want)
				}
				if _, err := Decode([]byte(with("customerName", `"`+name))); err == nil {
					t.Error("a truncated body was accepted")
				}
			}
		})
	}
	all.Wait()
}

// texts lists the plain string members with their bounds and fields.
var texts = []struct {
	member      string
	least, most int
	nullable    bool
	field       func(*Request) string
}{
	{"customerExternalId", 1, 100, false, func(r *Request) string { return r.CustomerExternalID }},
	{"customerName", 0, 100, false, func(r *Request) string { return r.CustomerName }},
	{"eventName", 0, 255, true, func(r *Request) string { return r.EventName }},
	{"leadEventName", 0, 255, true, func(r *Request) string { return r.LeadEventName }},
	{"clickId", 0, 255, true, func(r *Request) string { return r.ClickID }},
}

func TestDecode_CountsCodePoints(t *testing.T) {
	for _, text := range texts {
		for _, character := range []string{"a", " ", "é", "ع", "漢", "😀", "\u0301", "\u200d", "\u202e", "\ufeff",
			"\uffff", "\u007f", "\u0085"} {
			for _, n := range []int{text.least - 1, text.least, text.most, text.most + 1} {
				value := strings.Repeat(character, max(n, 0))
				want := ""
				switch {
				case n < 0:
					continue
				case n < text.least:
					want = text.member + ": must not be empty"
				case n > text.most:
					want = fmt.Sprintf("%s: must be at most %d characters", text.member, text.most)
				}
				for _, raw := range []string{`"` + value + `"`, escaped(value)} {
					body := with(text.member, raw)
					mustReject(t, body, want)
					if want == "" {
						if got := text.field(mustDecode(t, body)); got != value {
							t.Errorf("%s %q became %q", text.member, value, got)
						}
					}
				}
			}
		}
	}
}

// escaped returns text as a JSON string of \u escapes.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r >= 0x10000 {
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			continue
		}
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return `"` + b.String() + `"`
}

func TestDecode_KeepsTextsAsSent(t *testing.T) {
	for _, text := range texts {
		for _, value := range []string{
			"  padded\t\n ", "e\u0301", "\u00e9", "ﬁ Å Å", "مرحبا بالعالم", "שלום\u200f", "👩‍👩‍👧‍👦", `"\/<>&'`,
			"\u2028\u2029", `\u0000`, "\x01\x1f", "null",
		} {
			raw, err := json.Marshal(value)
			testkit.NoError(t, err)
			if got := text.field(mustDecode(t, with(text.member, string(raw)))); got != value {
				t.Errorf("%s %q became %q", text.member, value, got)
			}
		}
	}
}

func TestDecode_RejectsAllButStrings(t *testing.T) {
	all := []string{"currency", "customerEmail", "customerAvatar"}
	for _, text := range texts {
		all = append(all, text.member)
	}
	for _, member := range all {
		for _, raw := range []string{"1", "-0.5e3", "true", "false", "{}", "[]", `["a"]`, `{"a":"b"}`} {
			mustReject(t, with(member, raw), member+": must be a string")
		}
		mustReject(t, with(member, `"\u0000"`), member+": must not contain NUL (U+0000)")
		mustReject(t, with(member, `"a\\\u0000b"`), member+": must not contain NUL (U+0000)")
	}
}

func TestDecode_LowercasesTheCurrency(t *testing.T) {
	for raw, want := range map[string]string{
		`"usd"`: "usd", `"USD"`: "usd", `"eUr"`: "eur", `"SAR"`: "sar", `"\u0055SD"`: "usd", `"zzz"`: "zzz",
		`"AAZ"`: "aaz", `null`: "usd",
	} {
		if got := mustDecode(t, with("currency", raw)).Currency; got != want {
			t.Errorf("%s became %q, want %q", raw, got, want)
		}
	}
	for _, raw := range []string{
		`""`, `"us"`, `"usdt"`, `"us "`, `" usd"`, `"u$d"`, `"us1"`, `"us@"`, `"us["`, `"us` + "`" + `"`, `"us{"`,
		`"€"`, `"é1"`, `"ﬀd"`, `"usб"`, `"ＵＳＤ"`, `"u\ns"`, `"ſsd"`,
	} {
		mustReject(t, with("currency", raw), "currency: must be three ASCII letters")
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct{ name, body string }{
		{"published", `{"customerExternalId":"customer_123","amount":12900,"currency":"usd","eventName":"Invoice ` +
			`paid","customerName":"John Doe","customerEmail":"john@example.com"}`},
		{"all members", `{"customerExternalId":"customer_123","amount":12900,"currency":"USD","eventName":"Invoice ` +
			`paid","metadata":{"invoiceId":"inv_123","items":[{"sku":"a","price":12.5}]},` +
			`"leadEventName":"Sign up","clickId":"click_abc123","customerName":"Jos\u00e9",` +
			`"customerEmail":"john@example.com","customerAvatar":"https://example.com/a.png"}`},
		{"metadata 10 kB", with("metadata", `{"a":[`+strings.Repeat("1,", 4990)+`1]}`)},
		{"slow numbers 10 kB", with("metadata", `{"a":[`+strings.Repeat("1.7976931348623157e-308,", 410)+`1]}`)},
		{"names 64 kB", "{" + manyNames(8000) + with("", "")[1:]},
		{"levels 64 kB", with("unknown", strings.Repeat("[", 9998)+strings.Repeat("]", 9998))},
		{"exponent", with("amount", "1e999999999")},
		{"digits 64 kB", with("amount", "1"+strings.Repeat("0", 60_000)+"e-60000")},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			body := []byte(c.body)
			for b.Loop() {
				_, _ = Decode(body)
			}
		})
	}
}

func manyNames(n int) string {
	var names strings.Builder
	for i := range n {
		names.WriteString(`"` + strings.Repeat("x", i%3) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) +
			string(rune('a'+i/676)) + `":0,`)
	}
	return names.String()
}

func BenchmarkFingerprint(b *testing.B) {
	b.ReportAllocs()
	r := mustDecode(b, with("metadata", `{"invoiceId":"inv_123","items":[{"sku":"a","price":12.5}]}`))
	for b.Loop() {
		r.Fingerprint()
	}
}
