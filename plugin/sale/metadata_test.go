package sale

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// acceptedMetadata holds objects at the bounds of what Decode accepts, as compact JSON.
var acceptedMetadata = append([]string{
	`{}`, `{"":{}}`, `{"":null,"a":[],"b":[[]],"c":[{}],"d":true,"e":false}`,
	`{"b":1,"a":2,"b ":3}`, `{"A":1,"a":2}`, `{"a":{"a":{"a":"a"}}}`,
	`{"plain":"é مرحبا 漢字 😀","escaped":"\u00e9\u0645\ud83d\ude00\"\\\/\b\f\n\r\t\u0001\u001f\u007f",` +
		`"\u006eame":"\u006E"}`,
	`{"not NUL":"\\u0000 \\\\u0000","html":"<&>\u2028\u2029","space":" \t \u00a0 "}`,
	`{"":"` + strings.Repeat("x", maxMetadata-len(`{"":""}`)) + `"}`,
	`{"` + strings.Repeat("k", maxMetadata-len(`{"":0}`)) + `":0}`,
	`{"a":"` + strings.Repeat("😀", 2498) + `"}`,
	strings.Repeat(`{"":`, 31) + `{}` + strings.Repeat(`}`, 31),
	`{"":` + strings.Repeat(`[`, 31) + strings.Repeat(`]`, 31) + `}`,
	strings.Repeat(`{"a":[0,`, 15) + `{"b":[]}` + strings.Repeat(`]}`, 15),
}, acceptedNumbers()...)

// acceptedNumbers returns objects of storableNumbers: one of all, and one of each.
func acceptedNumbers() []string {
	objects := []string{"{\"all\":[" + strings.Join(storableNumbers, ",") + "]}"}
	for i, number := range storableNumbers {
		objects = append(objects, fmt.Sprintf(`{"%d":%s}`, i, number))
	}
	return objects
}

var storableNumbers = []string{
	"0", "-0", "-0.0", "1", "-1", "1.0", "1.10", "1E5", "1e5", "1e+05", "1E-5", "0.1",
	"123456789012345678901234567890.123456789", "9007199254740993", "1e308", "1.7976931348623157e308",
	"-1.7976931348623157e308", "1.797693134862315807e308", "17976931348623157e292", "5e-324", "4.9e-324",
	"2.4703282292062328e-324", "-5e-324", "1e-323", "2.2250738585072014e-308", "0e400", "0e-400", "-0.00e400",
	"0.0E+400", "0e0000000000000000000000400", "1" + strings.Repeat("0", 308), "0." + strings.Repeat("0", 322) + "5",
	"0." + strings.Repeat("0", 700) + "5e400", "1" + strings.Repeat("0", 600) + "e-400",
	"1." + strings.Repeat("3", 3000), strings.Repeat("1", 300) + "." + strings.Repeat("7", 700),
}

func TestMetadata_KeepsAllButWhiteSpace(t *testing.T) {
	for _, sent := range acceptedMetadata {
		if got := mustDecode(t, with("metadata", sent)).Metadata; string(got) != sent {
			t.Errorf("%.200s became %.200s", sent, got)
		}
		var spread bytes.Buffer
		if err := json.Indent(&spread, []byte(sent), "\r\n", " \t"); err != nil {
			t.Fatal(err)
		}
		if got := mustDecode(t, with("metadata", " "+spread.String()+" ")).Metadata; string(got) != sent {
			t.Errorf("%.200s became %.200s", spread.String(), got)
		}
	}
}

func TestMetadata_RejectsAllButObjects(t *testing.T) {
	for _, raw := range []string{`""`, `"{}"`, `1`, `true`, `false`, `[]`, `[{}]`} {
		mustReject(t, with("metadata", raw), "metadata: must be an object")
	}
	if got := mustDecode(t, with("metadata", "{}")).Metadata; string(got) != "{}" {
		t.Errorf("an empty object became %q", got)
	}
}

func TestMetadata_IsMeasuredAsCompactJSON(t *testing.T) {
	const tooLarge = "metadata: must be at most 10000 bytes as compact JSON"
	full := `"` + strings.Repeat("x", maxMetadata-len(`{"":""}`)) + `"`
	wide := `"` + strings.Repeat("é", (maxMetadata-len(`{"":""}`))/2) + `"`
	escapes := strings.Repeat(`\u0041`, (maxMetadata-len(`{"":""}`))/6)
	spaces := strings.Repeat(" \n", 20_000)
	for _, c := range []struct{ raw, want string }{
		{`{"":` + full + `}`, ""},
		{`{` + spaces + `""` + spaces + `:` + full + `}`, ""},
		{`{"x":` + full + `}`, tooLarge},
		{`{"":` + full + `,"y":0}`, tooLarge},
		{`{"":[` + full + `]}`, tooLarge},
		{`{"":` + wide + `}`, ""},
		{`{"xx":` + wide + `}`, tooLarge},
		{`{"":"` + escapes + `"}`, ""},
		{`{"":"` + escapes + `A` + `\u0041` + `"}`, tooLarge},
		{`{"":[` + strings.Repeat("1,", 4996) + `1]}`, ""},
		{`{"":[` + strings.Repeat("1,", 4997) + `1]}`, tooLarge},
		{`{"":[` + strings.Repeat("1 , ", 4996) + `1]}`, ""},
	} {
		mustReject(t, with("metadata", c.raw), c.want)
	}
}

func TestMetadata_IsAtMost32LevelsDeep(t *testing.T) {
	const tooDeep = "metadata: is nested more than 32 levels deep"
	for _, open := range []string{`{"":`, `[`} {
		shut := map[string]string{`{"":`: "}", `[`: "]"}[open]
		for _, inner := range []string{"{}", "[]"} {
			mustReject(t, with("metadata", `{"":`+strings.Repeat(open, 30)+inner+strings.Repeat(shut, 30)+`}`), "")
			mustReject(t, with("metadata", `{"":`+strings.Repeat(open, 31)+inner+strings.Repeat(shut, 31)+`}`), tooDeep)
		}
		mustReject(t, with("metadata", `{"":`+strings.Repeat(open, 31)+"0"+strings.Repeat(shut, 31)+`}`), "")
	}
	mustReject(t, with("metadata", `{"a":`+strings.Repeat("[", 31)+strings.Repeat("]", 31)+`,"b":[[]]}`), "")
	mustReject(t, with("metadata", `{"":`+strings.Repeat("[", 60_000)), tooDeep)
}

func TestMetadata_RejectsNumbersBeyondDoubles(t *testing.T) {
	const large, small, exponent = "metadata: has a number too large for a double",
		"metadata: has a number too small for a double", "metadata: has a number with an exponent beyond 400"
	for _, c := range []struct{ number, want string }{
		{"1.797693134862315808e308", large}, {"-1.797693134862315808e308", large}, {"1.8e308", large}, {"1e309", large},
		{"1e400", large}, {"1" + strings.Repeat("0", 309), large}, {strings.Repeat("9", 309), large},
		{strings.Repeat("9", 309) + ".5", large}, {"0." + strings.Repeat("0", 90) + "1e400", large},
		{"2.4703282292062327e-324", small}, {"-2.4703282292062327e-324", small}, {"1e-324", small}, {"1e-400", small},
		{"-1e-400", small}, {"0." + strings.Repeat("0", 400) + "1", small},
		{"0." + strings.Repeat("0", 5000) + "1", small}, {"1" + strings.Repeat("0", 70) + "e-400", small},
		{"1e401", exponent}, {"1e-401", exponent}, {"0e401", exponent}, {"0e-401", exponent}, {"0E+401", exponent},
		{"0.0e-999999999", exponent}, {"1e131072", exponent}, {"1e-16384", exponent}, {"1e999999999", exponent},
		{"0e99999999999999999999", exponent}, {"1e18446744073709551616", exponent},
		{"1e-18446744073709551616", exponent}, {"0.1e00000000000000000000401", exponent},
		{"0." + strings.Repeat("0", 401) + "1e401", exponent},
	} {
		mustReject(t, with("metadata", `{"a":`+c.number+`}`), c.want)
		mustReject(t, with("metadata", `{"a":{"b":[0,`+c.number+`]}}`), c.want)
		mustReject(t, with("unknown", c.number), "")
	}
	for _, number := range storableNumbers {
		if !heldByDouble(number) {
			t.Errorf("a double does not hold %.40s", number)
		}
	}
}

func TestMetadata_RejectsNULAtAnyDepth(t *testing.T) {
	for _, raw := range []string{
		`{"a":"\u0000"}`, `{"\u0000":1}`, `{"a":"x\u0000y"}`, `{"a":["b",["\u0000"]]}`, `{"a":{"b":{"c\u0000":[]}}}`,
		`{"a":"\\\u0000"}`, `{"a":"\"\u0000"}`, `{"a":"\\\\\\\u0000"}`,
	} {
		mustReject(t, with("metadata", raw), "metadata: must not contain NUL (U+0000)")
		mustReject(t, with("unknown", raw), "")
	}
	mustReject(t, with("metadata", `{"a":"\\u0000","b\\\\u0000":"\\\\\\u0000u0000","c":"u0000\u0001"}`), "")
}

func TestMetadata_EndsAtItsBrace(t *testing.T) {
	r := mustDecode(t, `{"metadata":{"amount":"x","customerName":{"metadata":{}}},"customerExternalId":"c",`+
		`"amount":1,"customerName":"n"}`)
	if string(r.Metadata) != `{"amount":"x","customerName":{"metadata":{}}}` || r.Amount != 1 || r.CustomerName != "n" {
		t.Errorf("got %+v", r)
	}
	for _, raw := range []string{`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":[1`, `{"a":"`} {
		mustReject(t, `{"metadata":`+raw, "body: ends before the JSON object does")
	}
	for raw, at := range map[string]int{`{"a":1]`: 18, `{"a":[1}`: 19, `{"a":}`: 17, `{"a" 1}`: 17, `{1:1}`: 13,
		`{"a":1,}`: 18, `{"a":1 "b":1}`: 19, `{"a":+1}`: 17} {
		mustReject(t, `{"metadata":`+raw+`}`, fmt.Sprintf("body: is not valid JSON (at byte %d)", at))
	}
}

var (
	halfBeyondLargest = infinityDigits[:1] + "." + infinityDigits[1:] + "e308"
	halfOfSmallest    = zeroDigits[:1] + "." + zeroDigits[1:] + "e-324"
)

func TestMetadata_HasTheBoundsOfADouble(t *testing.T) {
	largest, smallest := strings.TrimSuffix(halfBeyondLargest, "e308"), strings.TrimSuffix(halfOfSmallest, "e-324")
	below := func(digits string) string { // digits never end in 0
		return digits[:len(digits)-1] + string(digits[len(digits)-1]-1)
	}
	for number, want := range map[string]bool{
		halfBeyondLargest: false, infinityDigits: false, infinityDigits + ".000": false, largest + "000e308": false,
		largest + "1e308":       false,
		below(largest) + "e308": true, below(largest) + "999e308": true, below(infinityDigits) + ".9": true,
		"-" + below(largest) + "e308": true,
		halfOfSmallest:                false, smallest + "000e-324": false, "-" + halfOfSmallest: false,
		below(smallest) + "9e-324": false,
		smallest + "1e-324":        true, smallest + "0001e-324": true, "-" + smallest + "1e-324": true,
		"0." + strings.Repeat("0", 323) + zeroDigits: false, "0." + strings.Repeat("0", 323) + zeroDigits + "1": true,
		"0." + strings.Repeat("0", 322) + zeroDigits: true,
	} {
		if fault := numberFault([]byte(number)); (fault == "") != want {
			t.Errorf("%.60s… %q", number, fault)
		}
		if got := heldByDouble(number); got != want {
			t.Errorf("a double holds %.60s…: %v", number, got)
		}
	}
}

// heldByDouble reports whether strconv reads number as finite and, if it is nonzero, as nonzero.
func heldByDouble(number string) bool {
	double, err := strconv.ParseFloat(number, 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	return err == nil && (double != 0 || !strings.ContainsAny(mantissa, "123456789"))
}

// FuzzNumber checks that numberFault rejects the numbers that strconv does.
func FuzzNumber(f *testing.F) {
	for _, number := range storableNumbers {
		f.Add(number)
	}
	for _, number := range []string{
		halfBeyondLargest, halfOfSmallest, infinityDigits, "1e309", "1e-325", "3e-324", "2e-324",
		"1.7976931348623158e308", "0.00247032822920623272088e-321",
	} {
		f.Add(number)
	}
	f.Fuzz(func(t *testing.T, number string) {
		if number == "" || strings.Trim(number, "+-.eE0123456789") != "" || !jsontext.Value(number).IsValid() {
			return
		}
		_, exponent := cutExponent([]byte(number))
		want := max(exponent, -exponent) <= maxWrittenExponent && heldByDouble(number)
		if fault := numberFault([]byte(number)); (fault == "") != want {
			t.Errorf("%q %q, a double holds it: %v", number, fault, want)
		}
	})
}
