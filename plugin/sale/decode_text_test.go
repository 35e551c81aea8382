package sale

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// texts are the plain string members: their bounds, and the field of each.
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

func TestTextsAreCountedInCodePoints(t *testing.T) {
	for _, text := range texts {
		for _, character := range []string{"a", " ", "é", "ع", "漢", "😀", "\u0301", "\u200d", "\u202e", "\ufeff", "\uffff", "\u007f", "\u0085"} {
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
					mustRefuse(t, body, want)
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

// escaped writes every character as \u escapes.
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

func TestTextsAreTakenAsSent(t *testing.T) {
	for _, text := range texts {
		for _, value := range []string{
			"  padded\t\n ", "e\u0301", "\u00e9", "ﬁ Å Å", "مرحبا بالعالم", "שלום\u200f", "👩‍👩‍👧‍👦", `"\/<>&'`, "\u2028\u2029", `\u0000`, "\x01\x1f", "null",
		} {
			raw, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if got := text.field(mustDecode(t, with(text.member, string(raw)))); got != value {
				t.Errorf("%s %q became %q", text.member, value, got)
			}
		}
	}
}

func TestTextsThatAreNoStringsAreRefused(t *testing.T) {
	all := []string{"currency", "customerEmail", "customerAvatar"}
	for _, text := range texts {
		all = append(all, text.member)
	}
	for _, member := range all {
		for _, raw := range []string{"1", "-0.5e3", "true", "false", "{}", "[]", `["a"]`, `{"a":"b"}`} {
			mustRefuse(t, with(member, raw), member+": must be a string")
		}
		mustRefuse(t, with(member, `"\u0000"`), member+": must not contain NUL (U+0000)")
		mustRefuse(t, with(member, `"a\\\u0000b"`), member+": must not contain NUL (U+0000)")
	}
}

func TestCurrencyIsThreeLettersInAnyCase(t *testing.T) {
	for raw, want := range map[string]string{
		`"usd"`: "usd", `"USD"`: "usd", `"eUr"`: "eur", `"SAR"`: "sar", `"\u0055SD"`: "usd", `"zzz"`: "zzz", `"AAZ"`: "aaz", `null`: "usd",
	} {
		if got := mustDecode(t, with("currency", raw)).Currency; got != want {
			t.Errorf("%s became %q, want %q", raw, got, want)
		}
	}
	for _, raw := range []string{
		`""`, `"us"`, `"usdt"`, `"us "`, `" usd"`, `"u$d"`, `"us1"`, `"us@"`, `"us["`, `"us` + "`" + `"`, `"us{"`, `"€"`, `"é1"`, `"ﬀd"`, `"usб"`, `"ＵＳＤ"`, `"u\ns"`, `"ſsd"`,
	} {
		mustRefuse(t, with("currency", raw), "currency: must be three ASCII letters")
	}
}
