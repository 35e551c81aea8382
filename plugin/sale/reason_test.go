package sale

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/apikey"
)

func TestDecode_RejectsAllButOneObject(t *testing.T) {
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
		{"truncated", valid[:len(valid)-1], "body: ends before the JSON object does"},
		{"truncated in a string", valid[:len(valid)-2], "body: ends before the JSON object does"},
		{"truncated in a name", `{"amou`, "body: ends before the JSON object does"},
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
		{"uppercase literal", `{"metadata":NULL}`, "body: is not valid JSON (at byte 12)"},
		{"broken literal", `{"metadata":nulL}`, "body: is not valid JSON (at byte 15)"},
		{"raw control", "{\"clickId\":\"\n\"}", "body: is not valid JSON (at byte 12)"},
		{"raw NUL", "{\"clickId\":\"\x00\"}", "body: is not valid JSON (at byte 12)"},
		{"unknown escape", `{"clickId":"\x41"}`, "body: has an invalid escape or a lone surrogate (at byte 12)"},
		{"short escape", `{"clickId":"\u41"}`, "body: has an invalid escape or a lone surrogate (at byte 12)"},
		{"invalid UTF-8", with("customerName", "\"\xff\""), "body: is not valid UTF-8"},
		{"overlong UTF-8", with("customerName", "\"\xc0\x80\""), "body: is not valid UTF-8"},
		{"surrogate in UTF-8", with("customerName", "\"\xed\xa0\x80\""), "body: is not valid UTF-8"},
		{"truncated UTF-8", with("customerName", "\"\xf0\x9f\x98\""), "body: is not valid UTF-8"},
		{"invalid UTF-8 in an unknown member", with("x", "\"\xff\""), "body: is not valid UTF-8"},
		{"invalid UTF-8 in a name", with("", "")[:1] + "\"\xff\":1," + valid[1:], "body: is not valid UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) { mustReject(t, c.body, c.want) })
	}
}

func TestDecode_RejectsLoneSurrogates(t *testing.T) {
	const want = "body: has an invalid escape or a lone surrogate (at byte "
	for _, lone := range []string{`\ud83d`, `\ude00`, `\ud83dx`, `\ud83d\n`, `\ud83d\u0041`, `\ud83d\ud83d`,
		`\ude00\ud83d`, `\uDBFF`} {
		for _, body := range []string{
			with("customerName", `"`+lone+`"`), with("metadata", `{"a":["`+lone+`"]}`),
			with("metadata", `{"`+lone+`":1}`),
			with("unknown", `"`+lone+`"`), `{"` + lone + `":1}`,
		} {
			_, err := Decode([]byte(body))
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s gives %v", body, err)
			}
		}
	}
	if got := mustDecode(t, with("customerName", `"\ud83D\uDe00"`)).CustomerName; got != "😀" {
		t.Errorf("a surrogate pair is %q", got)
	}
}

func TestDecode_RejectsDuplicateMembers(t *testing.T) {
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
		mustReject(t, c.body, c.want)
	}
}

func TestDecode_FindsADuplicateAmongMany(t *testing.T) {
	var object strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&object, `"k%d":0,`, i)
	}
	many := object.String()
	mustReject(t, with("unknown", "{"+many+`"last":0}`), "")
	mustReject(t, with("unknown", "{"+many+`"k17":0}`), "body: has a duplicate member")
	mustReject(t, "{"+many+`"k\u0034999":0}`, "body: has a duplicate member")
	mustReject(t, "{"+many+with("", "")[1:], "")
}

func TestDecode_BoundsNesting(t *testing.T) {
	nested := func(levels int, open, shut string) string {
		return strings.Repeat(open, levels) + "0" + strings.Repeat(shut, levels)
	}
	const tooDeep = "body: is nested more than 10000 levels deep"
	for _, c := range []struct{ open, shut string }{{"[", "]"}, {`{"":`, "}"}, {`[{"a":[`, "]}]"}} {
		levels := strings.Count(c.open, "[") + strings.Count(c.open, "{")
		mustReject(t, with("unknown", nested(9999/levels, c.open, c.shut)), "")
		mustReject(t, with("unknown", nested(9999/levels+1, c.open, c.shut)), tooDeep)
	}
	mustReject(t, nested(10_000, "[", "]"), "body: must be a JSON object")
	mustReject(t, with("unknown", strings.Repeat("[", 60_000)), tooDeep)
	mustReject(t, `{"":`+strings.Repeat("[", 9999)+"x", "body: is not valid JSON (at byte 10003)")
}

func TestDecode_ErrorsRepeatNoValue(t *testing.T) {
	const sent = "s3cr3t"
	bodies := []string{
		sent, `{"` + sent, `{"` + sent + `":1,"` + sent + `":1}`, `{"metadata":{"` + sent + `":1,"` + sent + `":2}}`,
		`{"amount":` + sent + `}`, `{"` + sent + `":` + sent + `}`, `{"` + sent + `":"\` + sent + `"}`,
		with("", "") + sent,
	}
	for _, member := range members {
		bodies = append(bodies, with(member, `["`+sent+`"]`), with(member, `"`+sent+`é"`),
			with(member, `"`+sent+"\\u0000"+strings.Repeat("x", 3000)+`"`),
			with(member, `"`+sent+strings.Repeat("é", 3000)+`"`))
	}
	bodies = append(bodies, with("metadata", `{"`+sent+`":"\u0000"}`), with("metadata", `{"`+sent+`":1e400}`))
	rejected := 0
	for _, body := range bodies {
		_, err := Decode([]byte(body))
		if err == nil {
			continue
		}
		rejected++
		checkReason(t, err)
		if strings.Contains(err.Error(), sent) {
			t.Errorf("%.100q is rejected with %q", body, err)
		}
	}
	if rejected < len(bodies)-5 {
		t.Errorf("only %d of %d bodies were rejected", rejected, len(bodies))
	}
}

// checkReason checks that err is an InvalidError whose text may be a header value.
func checkReason(t testing.TB, err error) {
	t.Helper()
	fault, ok := errors.AsType[*InvalidError](err)
	if !ok {
		t.Fatalf("%T is not an *InvalidError", err)
	}
	if fault.Error() != fault.Member+": "+fault.Reason || fault.Reason == "" {
		t.Errorf("%+v has the text %q", fault, err)
	}
	if fault.Member != wholeBody && !strings.Contains(strings.Join(members, " "), fault.Member) {
		t.Errorf("%q names no member", err)
	}
	if len(err.Error()) > 120 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%q is not a header value", err)
	}
}

func Test400_NamesTheMemberInHeaderAndLog(t *testing.T) {
	f := newFixture(recording, 0)
	w := f.post(`{"customerExternalId":"customer_123","amount":-12345,"customerName":"John Doe"}`, nil)
	expect(t, w, 400, body400)
	const reason = "amount: must be a non-negative integer"
	expectHeader(t, w, "Hoko-Reason", reason)
	for _, want := range []string{reason, "status=400", "workspace_id=ws_1", "key_id=key_1"} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, f.log)
		}
	}
	if strings.Contains(f.log.String(), "12345") {
		t.Errorf("the log repeats a value of the client: %s", f.log)
	}
	f.expectNoSale(t)
	f.expectRejection(t, "invalid")
}

func Test400_RejectsAMalformedIdempotencyKey(t *testing.T) {
	const shape = "Idempotency-Key: must be 1 to 255 printable ASCII characters"
	const twice = "Idempotency-Key: must be sent once"
	for reason, keys := range map[string][][]string{
		shape: {{""}, {strings.Repeat("k", 256)}, {"a\tb"}, {"a\x7f"}, {"مفتاح"}, {"a\x80"}},
		twice: {{"a", "a"}, {"", ""}, {"a", "b", "c"}},
	} {
		for _, lines := range keys {
			t.Run(fmt.Sprintf("%.9q", lines), func(t *testing.T) {
				f := newFixture(recording, 0)
				w := f.post(aBody, http.Header{"Idempotency-Key": lines})
				expect(t, w, 400, body400)
				expectHeader(t, w, "Hoko-Reason", reason)
				f.expectNoSale(t)
			})
		}
	}
}

func Test400_NamesWhyNothingAttributesTheSale(t *testing.T) {
	for members, want := range map[string]string{
		``:                                   "clickId: missing, and the customer has no lead, or its link is gone",
		`,"clickId":"","leadEventName":null`: "clickId: missing, and the customer has no lead, or its link is gone",
		`,"clickId":"secret"`:                "clickId: no such click, or its link is gone",
		`,"leadEventName":"secret"`: "leadEventName: the customer has no such lead and no other, or its " +
			"link is gone",
		`,"leadEventName":"x","clickId":"abc"`: "clickId: no such click and no lead of that leadEventName, or the " +
			"link is gone",
	} {
		t.Run(members, func(t *testing.T) {
			f := newFixture(failing(fmt.Errorf("batch of 1: %w", ErrUnattributed)), 0)
			w := f.post(strings.TrimSuffix(aBody, "}")+members+"}", nil)
			expect(t, w, 400, body400)
			expectHeader(t, w, "Hoko-Reason", want)
			f.expectRejection(t, "invalid")
		})
	}
}

func Test400_NamesADatabaseWithoutSources(t *testing.T) {
	f := newFixture(failing(fmt.Errorf("batch of 1: %w", ErrNoSource)), 0)
	w := f.post(strings.TrimSuffix(aBody, "}")+`,"clickId":"secret"}`, nil)
	expect(t, w, 400, body400)
	const want = "clickId: no sale can be attributed yet, as there is no link, or neither click nor lead: see " +
		"docs/first-sale.md"
	expectHeader(t, w, "Hoko-Reason", want)
	if !strings.Contains(f.log.String(), want) {
		t.Errorf("the log lacks the reason: %s", f.log)
	}
	f.expectRejection(t, "invalid")
}

func Test422_AnswersADifferentRequest(t *testing.T) {
	f := newFixture(failing(fmt.Errorf("batch of 1: %w", ErrIdempotencyMismatch)), 0)
	w := f.post(aBody, http.Header{"Idempotency-Key": {"once"}})
	expect(t, w, 422, `{"error":{"en":"Idempotency key was used with a different request","ar":"استُخدم مفتاح عدم `+
		`التكرار مع طلب مختلف"}}`)
	f.expectRejection(t, "idempotency_mismatch")
}

const (
	body500 = `{"error":{"en":"Internal server error","ar":"خطأ داخلي في الخادم"}}`
	body503 = `{"error":{"en":"Service temporarily unavailable","ar":"الخدمة غير متاحة مؤقتًا"}}`
	body504 = `{"error":{"en":"Gateway timeout","ar":"انتهت مهلة البوابة"}}`
)

func Test5xx_AreReturnedThenAnswered(t *testing.T) {
	unknown := uuid.MustParse("018cc251-f400-7000-8000-000000000002")
	full := fmt.Errorf("%w: queue is full", ErrNotRecorded)
	for name, failure := range map[string]struct {
		err        error
		row        *apierror.Error
		body       string
		saleID     string
		retryAfter []string
	}{
		"500": {errors.New("value out of range"), apierror.Internal, body500, "", []string{""}},
		"503": {full, apierror.Unavailable, body503, "", []string{"1", "2"}},
		"503 of a backlog": {&NotRecordedError{9 * time.Second, full}, apierror.Unavailable, body503, "",
			[]string{"9", "10", "11", "12"}},
		"504": {&UnknownOutcomeError{unknown, errors.New("connection lost")}, apierror.GatewayTimeout, body504,
			unknown.String(), []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(failing(failure.err), 0)
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", "/", strings.NewReader(aBody))
			_, err := f.Serve(w, r.WithContext(apikey.NewContext(r.Context(), aKey)))
			returned, ok := errors.AsType[*apierror.Failure](err)
			if !ok || returned.Err != failure.row || !errors.Is(err, failure.err) {
				t.Errorf("Serve returned %v, want %v with its cause", err, failure.row)
			}
			if w.Body.Len() != 0 {
				t.Errorf("Serve wrote %s", w.Body)
			}
			expectHeader(t, w, "Hoko-Sale-Id", failure.saleID)

			w = f.post(aBody, nil)
			expect(t, w, failure.row.Status, failure.body)
			expectHeader(t, w, "Hoko-Sale-Id", failure.saleID)
			if got := w.Header().Get("Retry-After"); !slices.Contains(failure.retryAfter, got) {
				t.Errorf("Retry-After %q, want one of %q", got, failure.retryAfter)
			}
			if !strings.Contains(f.log.String(), failure.err.Error()) {
				t.Errorf("the log lacks the cause: %s", f.log)
			}
		})
	}
}

func Test500_NamesTheMissingAuthentication(t *testing.T) {
	f := newFixture(recording, 0)
	w := httptest.NewRecorder()
	f.Handler.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(aBody)))
	expect(t, w, 500, body500)
	if !strings.Contains(f.log.String(), "api_key_auth") {
		t.Errorf("the log does not name api_key_auth: %s", f.log)
	}
	f.expectNoSale(t)
}
