package apikey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestParseToken(t *testing.T) {
	longest := strings.Repeat("k", 256)
	const printable = `!"#$%&'()*+,-./09:;<=>?@AZ[\]^_` + "`az{|}~"
	tests := []struct {
		name   string
		values []string
		want   string
		err    *Rejected
	}{
		{"bearer", []string{"Bearer abc"}, "abc", nil},
		{"scheme in lower case", []string{"bearer abc"}, "abc", nil},
		{"scheme in upper case", []string{"BEARER abc"}, "abc", nil},
		{"tab after the scheme", []string{"Bearer\tabc"}, "abc", nil},
		{"white space around", []string{" \t Bearer \t abc \t "}, "abc", nil},
		{"white space after the key", []string{"Bearer abc "}, "abc", nil},
		{"two spaces after the scheme", []string{"Bearer  abc"}, "abc", nil},
		{"bare key", []string{"abc"}, "abc", nil},
		{"bare key in white space", []string{"  abc\t"}, "abc", nil},
		{"bare key that begins with the scheme", []string{"BearerToken"}, "BearerToken", nil},
		{"printable ASCII", []string{printable}, printable, nil},
		{"256 bytes", []string{"Bearer " + longest}, longest, nil},
		{"256 bytes bare", []string{longest}, longest, nil},

		{"no header", nil, "", noKeySent},
		{"empty", []string{""}, "", noKeySent},
		{"white space", []string{" \t "}, "", noKeySent},
		{"scheme alone", []string{"Bearer"}, "", noKeySent},
		{"scheme and white space", []string{"bearer  "}, "", noKeySent},
		{"scheme and one space", []string{"Bearer "}, "", noKeySent},
		{"basic", []string{"Basic dXNlcjpwYXNz"}, "", noKeySent},
		{"digest", []string{`Digest username="a", realm="b"`}, "", noKeySent},
		{"unknown scheme", []string{"hoko abc"}, "", noKeySent},

		{"257 bytes", []string{"Bearer " + longest + "k"}, "", malformedKey},
		{"257 bytes bare", []string{longest + "k"}, "", malformedKey},
		{"two headers", []string{"Bearer abc", "Bearer abc"}, "", malformedKey},
		{"two headers, one empty", []string{"Bearer abc", ""}, "", malformedKey},
		{"inner space", []string{"Bearer a b"}, "", malformedKey},
		{"inner tab", []string{"Bearer a\tb"}, "", malformedKey},
		{"scheme twice", []string{"Bearer Bearer abc"}, "", malformedKey},
		{"control", []string{"Bearer a\x1fb"}, "", malformedKey},
		{"NUL", []string{"a\x00b"}, "", malformedKey},
		{"DEL", []string{"Bearer a\x7f"}, "", malformedKey},
		{"non-ASCII", []string{"Bearer مفتاح"}, "", malformedKey},
		{"non-ASCII white space around", []string{"\u00a0abc"}, "", malformedKey},
		{"invalid UTF-8", []string{"Bearer a\xff"}, "", malformedKey},
		{"inner space, no valid scheme", []string{"a=b c"}, "", malformedKey},
		{"inner space after non-ASCII", []string{"ключ abc"}, "", malformedKey},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			token, rejected := parseToken(test.values)
			if token.text != test.want || rejected != test.err {
				t.Errorf("got %q, %+v, want %q, %+v", token.text, rejected, test.want, test.err)
			}
		})
	}
}

func TestToken_IsNeverPrinted(t *testing.T) {
	token, _ := parseToken([]string{"Bearer " + testToken})
	holder := struct {
		Token   Token
		Pointer *Token
	}{token, &token}
	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%c", "%U", "%t", "%20v"} {
		fmt.Fprintf(&printed, verb+verb+verb+"\n", token, &token, holder)
	}
	fmt.Fprintln(&printed, token.String(), token.GoString())
	for _, handler := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
		slog.New(handler).Info("token", "value", token, "holder", holder)
	}
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"Token":"[redacted]","Pointer":"[redacted]"}`; string(encoded) != want {
		t.Errorf("got %s, want %s", encoded, want)
	}
	for _, secret := range []string{
		testToken, fmt.Sprintf("%x", testToken), fmt.Sprintf("%X", testToken), fmt.Sprint([]byte(testToken)),
	} {
		if strings.Contains(printed.String(), secret) {
			t.Errorf("the token was printed:\n%s", printed.String())
		}
	}
}

func FuzzAuthorizationHeader(f *testing.F) {
	for _, seed := range []string{
		"", "Bearer abc", "abc", "bEaReR\tabc ", "Basic dXNlcjpwYXNz", "Bearer a b", "Bearer \xff",
		strings.Repeat("k", 257),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, rejected := parseToken([]string{value})
		if rejected != nil {
			if token != (Token{}) {
				t.Fatal("a token from a rejected header")
			}
			return
		}
		if len(token.text) < 1 || len(token.text) > 256 {
			t.Fatalf("a key of %d bytes", len(token.text))
		}
		if strings.ContainsFunc(token.text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Fatalf("a key that is not printable ASCII: %q", token.text)
		}
		// All spellings of the header yield the same key.
		for _, spelling := range []string{"Bearer " + token.text, "\tbearer \t" + token.text + " "} {
			if again, _ := parseToken([]string{spelling}); again != token {
				t.Fatalf("%q and %q yield different keys", spelling, value)
			}
		}
		if !strings.EqualFold(token.text, "Bearer") {
			if bare, _ := parseToken([]string{token.text}); bare != token {
				t.Fatalf("%q and its bare key yield different keys", value)
			}
		}
	})
}
