package sale

import (
	"strings"
	"testing"
)

func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct{ name, body string }{
		{"published", `{"customerExternalId":"customer_123","amount":12900,"currency":"usd","eventName":"Invoice paid","customerName":"John Doe","customerEmail":"john@example.com"}`},
		{"all members", `{"customerExternalId":"customer_123","amount":12900,"currency":"USD","eventName":"Invoice paid","metadata":{"invoiceId":"inv_123","items":[{"sku":"a","price":12.5}]},` +
			`"leadEventName":"Sign up","clickId":"click_abc123","customerName":"Jos\u00e9","customerEmail":"john@example.com","customerAvatar":"https://example.com/a.png"}`},
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
		names.WriteString(`"` + strings.Repeat("x", i%3) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + `":0,`)
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
