package sale

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// with is a valid body in which member has this raw JSON value; none where it is "".
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
		t.Fatalf("%.300q is refused: %v", body, err)
	}
	return r
}

// mustRefuse wants an error of exactly this text, none where it is "".
func mustRefuse(t testing.TB, body, want string) {
	t.Helper()
	r, err := Decode([]byte(body))
	if want == "" {
		if err != nil {
			t.Errorf("%.300q is refused: %v", body, err)
		}
		return
	}
	var fault *InvalidError
	if !errors.As(err, &fault) || r != nil {
		t.Errorf("%.300q gives %+v, %v, want %q", body, r, err, want)
	} else if err.Error() != want {
		t.Errorf("%.300q is refused with %q, want %q", body, err, want)
	}
}

func TestDecodeReadsThePublishedExample(t *testing.T) {
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

func TestDecodeReadsEveryMember(t *testing.T) {
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

func TestDecodeFillsDefaultsIn(t *testing.T) {
	want := &Request{CustomerExternalID: "customer_123", Amount: 12900, Currency: "usd", EventName: "Purchase", CustomerName: "John Doe"}
	for _, body := range []string{
		with("", ""),
		with("currency", "null"), with("eventName", "null"), with("metadata", "null"),
		with("leadEventName", "null"), with("leadEventName", `""`), with("clickId", "null"), with("clickId", `""`),
		with("unknown", `{"amount":"x","deep":[[1e999999999]]}`),
		with("Currency", `1`), with("eventname", `1`), with(" metadata", `1`), with("CLICKID", `1`),
	} {
		if got := mustDecode(t, body); !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %+v, want %+v", body, got, want)
		}
	}
}

func TestDecodeTellsAbsentFromNull(t *testing.T) {
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

func TestDecodeRefusesWhatIsNotOneObject(t *testing.T) {
	valid := with("", "")
	for _, c := range []struct{ name, body, want string }{
		{"empty", "", "body: must not be empty"},
		{"white space", " \r\n\t ", "body: must not be empty"},
		{"array", "[" + valid + "]", "body: must be a JSON object"},
		{"empty array", "[]", "body: must be a JSON object"},
		{"null", "null", "body: must be a JSON object"},
		{"number", "12900", "body: must be a JSON object"},
		{"string", `"{}"`, "body: must be a JSON object"},
		{"true", "true", "body: must be a JSON object"},
		{"form", "amount=12900&customerName=x", "body: is not valid JSON (at byte 0)"},
		{"byte order mark", "\uFEFF" + valid, "body: must not start with a byte order mark"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "body: is not valid UTF-8"},
		{"two objects", valid + valid, "body: must end after the JSON object"},
		{"two lines", valid + "\n" + valid, "body: must end after the JSON object"},
		{"trailing comma", valid + ",", "body: must end after the JSON object"},
		{"trailing brace", valid + "}", "body: must end after the JSON object"},
		{"trailing null", valid + " null", "body: must end after the JSON object"},
		{"trailing NUL", valid + "\x00", "body: must end after the JSON object"},
		{"trailing byte order mark", valid + "\uFEFF", "body: must end after the JSON object"},
		{"white space around", " \r\n\t" + valid + " \r\n\t", ""},
		{"other white space", "\u00a0" + valid, "body: is not valid JSON (at byte 0)"},
		{"form feed", "\f" + valid, "body: is not valid JSON (at byte 0)"},
		{"cut", valid[:len(valid)-1], "body: ends before the JSON object does"},
		{"cut in a string", valid[:len(valid)-2], "body: ends before the JSON object does"},
		{"cut in a name", `{"amou`, "body: ends before the JSON object does"},
		{"comma before the end", `{"amount":1,}`, "body: is not valid JSON (at byte 11)"},
		{"comma at the start", `{,"amount":1}`, "body: is not valid JSON (at byte 1)"},
		{"no colon", `{"amount" 1}`, "body: is not valid JSON (at byte 10)"},
		{"no value", `{"amount"}`, "body: is not valid JSON (at byte 9)"},
		{"no value after the colon", `{"amount":}`, "body: is not valid JSON (at byte 10)"},
		{"bare name", `{amount:1}`, "body: is not valid JSON (at byte 1)"},
		{"single quotes", `{'amount':1}`, "body: is not valid JSON (at byte 1)"},
		{"number as a name", `{1:1}`, "body: is not valid JSON (at byte 1)"},
		{"null as a name", `{null:1}`, "body: is not valid JSON (at byte 1)"},
		{"object as a name", `{{}:1}`, "body: is not valid JSON (at byte 1)"},
		{"mismatched brackets", `{"a":[1}}`, "body: is not valid JSON (at byte 7)"},
		{"comment", `{/**/"amount":1}`, "body: is not valid JSON (at byte 1)"},
		{"leading zero", `{"amount":012}`, "body: is not valid JSON (at byte 11)"},
		{"plus sign", `{"amount":+12}`, "body: is not valid JSON (at byte 10)"},
		{"no digit after the point", `{"amount":12.}`, "body: is not valid JSON (at byte 13)"},
		{"no digit before the point", `{"amount":.5}`, "body: is not valid JSON (at byte 10)"},
		{"no digit in the exponent", `{"amount":1e}`, "body: is not valid JSON (at byte 12)"},
		{"hexadecimal", `{"amount":0x10}`, "body: is not valid JSON (at byte 11)"},
		{"NaN", `{"amount":NaN}`, "body: is not valid JSON (at byte 10)"},
		{"Infinity", `{"amount":-Infinity}`, "body: is not valid JSON (at byte 11)"},
		{"upper-case literal", `{"metadata":NULL}`, "body: is not valid JSON (at byte 12)"},
		{"broken literal", `{"metadata":nulL}`, "body: is not valid JSON (at byte 15)"},
		{"raw control", "{\"clickId\":\"\n\"}", "body: is not valid JSON (at byte 12)"},
		{"raw NUL", "{\"clickId\":\"\x00\"}", "body: is not valid JSON (at byte 12)"},
		{"unknown escape", `{"clickId":"\x41"}`, "body: has an invalid escape or half a surrogate pair (at byte 12)"},
		{"short escape", `{"clickId":"\u41"}`, "body: has an invalid escape or half a surrogate pair (at byte 12)"},
		{"invalid UTF-8", with("customerName", "\"\xff\""), "body: is not valid UTF-8"},
		{"overlong UTF-8", with("customerName", "\"\xc0\x80\""), "body: is not valid UTF-8"},
		{"surrogate in UTF-8", with("customerName", "\"\xed\xa0\x80\""), "body: is not valid UTF-8"},
		{"cut UTF-8", with("customerName", "\"\xf0\x9f\x98\""), "body: is not valid UTF-8"},
		{"invalid UTF-8 in an unknown member", with("x", "\"\xff\""), "body: is not valid UTF-8"},
		{"invalid UTF-8 in a name", with("", "")[:1] + "\"\xff\":1," + valid[1:], "body: is not valid UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) { mustRefuse(t, c.body, c.want) })
	}
}

func TestDecodeRefusesLoneSurrogatesAnywhere(t *testing.T) {
	for _, lone := range []string{`\ud83d`, `\ude00`, `\ud83dx`, `\ud83d\n`, `\ud83d\u0041`, `\ud83d\ud83d`, `\ude00\ud83d`, `\uDBFF`} {
		for _, body := range []string{
			with("customerName", `"`+lone+`"`), with("metadata", `{"a":["`+lone+`"]}`), with("metadata", `{"`+lone+`":1}`),
			with("unknown", `"`+lone+`"`), `{"` + lone + `":1}`,
		} {
			_, err := Decode([]byte(body))
			if err == nil || !strings.HasPrefix(err.Error(), "body: has an invalid escape or half a surrogate pair (at byte ") {
				t.Errorf("%s gives %v", body, err)
			}
		}
	}
	if got := mustDecode(t, with("customerName", `"\ud83D\uDe00"`)).CustomerName; got != "😀" {
		t.Errorf("a surrogate pair is %q", got)
	}
}

func TestDecodeRefusesDuplicateMembersAtAnyDepth(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"amount":1,"amount":1}`, "amount: must not be sent twice"},
		{`{"amount":1,"\u0061mount":1}`, "amount: must not be sent twice"},
		{`{"customerEmail":null,"customerEmail":null}`, "customerEmail: must not be sent twice"},
		{`{"x":1,"x":1}`, "body: has a duplicate member"},
		{`{"":1,"":1}`, "body: has a duplicate member"},
		{`{"a":1,"\u0061":1}`, "body: has a duplicate member"},
		{`{"/":1,"\/":1}`, "body: has a duplicate member"},
		{`{"😀":1,"\ud83d\ude00":1}`, "body: has a duplicate member"},
		{`{"x":{"a":1,"a":1}}`, "body: has a duplicate member"},
		{`{"x":[{"y":[{"a":1,"b":2,"\u0061":1}]}]}`, "body: has a duplicate member"},
		{`{"x/amount":1,"x/amount":1}`, "body: has a duplicate member"},
		{`{"metadata":{"a":1,"a":1}}`, "metadata: has a duplicate member"},
		{`{"metadata":{"a":1,"\u0061":1}}`, "metadata: has a duplicate member"},
		{`{"metadata":{"x":[{},{"a":{"b":1,"b":2}}]}}`, "metadata: has a duplicate member"},
		{`{"metadata":{"\"":1,"\u0022":1}}`, "metadata: has a duplicate member"},
		{`{"\u006detadata":{"a":1,"a":1}}`, "metadata: has a duplicate member"},
		{with("metadata", `{"a":{"a":{"a":1}},"A":1,"á":1,"a\u0301":1,"":[{"a":1},{"a":1}]}`), ""},
		{with("Amount", `12900`), ""},
	} {
		mustRefuse(t, c.body, c.want)
	}
}

func TestDecodeFindsADuplicateAmongManyMembers(t *testing.T) {
	var object strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&object, `"k%d":0,`, i)
	}
	many := object.String()
	mustRefuse(t, with("unknown", "{"+many+`"last":0}`), "")
	mustRefuse(t, with("unknown", "{"+many+`"k17":0}`), "body: has a duplicate member")
	mustRefuse(t, "{"+many+`"k\u0034999":0}`, "body: has a duplicate member")
	mustRefuse(t, "{"+many+with("", "")[1:], "")
}

func TestDecodeTakesUnknownMembersTenThousandLevelsDeep(t *testing.T) {
	nested := func(levels int, open, shut string) string {
		return strings.Repeat(open, levels) + "0" + strings.Repeat(shut, levels)
	}
	for _, c := range []struct{ open, shut string }{{"[", "]"}, {`{"":`, "}"}, {`[{"a":[`, "]}]"}} {
		levels := strings.Count(c.open, "[") + strings.Count(c.open, "{")
		mustRefuse(t, with("unknown", nested(9999/levels, c.open, c.shut)), "")
		mustRefuse(t, with("unknown", nested(9999/levels+1, c.open, c.shut)), "body: is nested more than 10000 deep")
	}
	mustRefuse(t, nested(10_000, "[", "]"), "body: must be a JSON object")
	mustRefuse(t, with("unknown", strings.Repeat("[", 60_000)), "body: is nested more than 10000 deep")
	mustRefuse(t, `{"":`+strings.Repeat("[", 9999)+"x", "body: is not valid JSON (at byte 10003)")
}

func TestDecodeRequiresWhatHasNoDefault(t *testing.T) {
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
		mustRefuse(t, c.body, c.want)
	}
}

func TestErrorsRepeatNothingThatWasSent(t *testing.T) {
	const sent = "s3cr3t"
	bodies := []string{
		sent, `{"` + sent, `{"` + sent + `":1,"` + sent + `":1}`, `{"metadata":{"` + sent + `":1,"` + sent + `":2}}`,
		`{"amount":` + sent + `}`, `{"` + sent + `":` + sent + `}`, `{"` + sent + `":"\` + sent + `"}`, with("", "") + sent,
	}
	for _, member := range members {
		bodies = append(bodies, with(member, `["`+sent+`"]`), with(member, `"`+sent+"\\u0000"+strings.Repeat("x", 3000)+`"`),
			with(member, `"`+sent+strings.Repeat("é", 3000)+`"`), with(member, `"`+sent+`é"`))
	}
	bodies = append(bodies, with("metadata", `{"`+sent+`":"\u0000"}`), with("metadata", `{"`+sent+`":1e400}`))
	refused := 0
	for _, body := range bodies {
		_, err := Decode([]byte(body))
		if err == nil {
			continue
		}
		refused++
		checkReason(t, err)
		if strings.Contains(err.Error(), sent) {
			t.Errorf("%.100q is refused with %q", body, err)
		}
	}
	if refused < len(bodies)-5 {
		t.Errorf("only %d of %d bodies were refused", refused, len(bodies))
	}
}

// checkReason wants what may stand in a header.
func checkReason(t testing.TB, err error) {
	t.Helper()
	var fault *InvalidError
	if !errors.As(err, &fault) {
		t.Fatalf("%T is no *InvalidError", err)
	}
	if fault.Error() != fault.Member+": "+fault.Reason || fault.Reason == "" {
		t.Errorf("%+v says %q", fault, err)
	}
	if fault.Member != wholeBody && !strings.Contains(strings.Join(members, " "), fault.Member) {
		t.Errorf("%q names no member", err)
	}
	if len(err.Error()) > 120 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%q is no header value", err)
	}
}

func TestDecodeKeepsNothingOfTheBody(t *testing.T) {
	body := []byte(with("metadata", `{"a":"b"}`))
	sent := string(body)
	r, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
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

func TestDecodeKeepsNothingForTheNextRequest(t *testing.T) {
	first := mustDecode(t, `{"metadata":{"a":"b"},"customerExternalId":"\u0041\u0042","amount":1,"customerName":"\u0043"}`)
	second := mustDecode(t, `{"metadata":{"x":"y"},"customerExternalId":"\u0058\u0059","amount":1,"customerName":"\u005a"}`)
	if first.CustomerExternalID+first.CustomerName+string(first.Metadata) != `ABC{"a":"b"}` {
		t.Errorf("the next request changed it to %+v", first)
	}
	if second.CustomerExternalID+second.CustomerName+string(second.Metadata) != `XYZ{"x":"y"}` {
		t.Errorf("the one before made it %+v", second)
	}
}

func TestDecodeServesManyAtOnce(t *testing.T) {
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
					t.Error("a cut body was taken")
				}
			}
		})
	}
	all.Wait()
}
