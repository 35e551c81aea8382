package sale

import (
	"strings"
	"testing"
)

func FuzzIdempotencyKey(f *testing.F) {
	for _, key := range []string{"", "order 1", `"quoted"`, "a,b", "\x00", "ü", strings.Repeat("k", 255), strings.Repeat("k", 256), "\xff", "a\r\nb"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, line string) {
		key, err := parseIdempotencyKey([]string{line})
		good := line != "" && len(line) <= 255 && !strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' })
		if good != (err == nil) || good && key != line {
			t.Errorf("%q gives %q, %v", line, key, err)
		}
		if err != nil && (key != "" || err.Error() != "Idempotency-Key: must be 1 to 255 printable ASCII characters") {
			t.Errorf("%q gives %q, %v", line, key, err)
		}
		if _, err := parseIdempotencyKey([]string{line, line}); err == nil {
			t.Error("two are taken")
		}
	})
}

// What passes as sent as it is names no coding, however it is written.
func FuzzContentEncoding(f *testing.F) {
	for _, value := range []string{"", "identity", "Identity", "identity, identity", "gzip", "identity,gzip", "x-gzip", "identity;q=0", "\u0130dentity", " , ", "identity\t"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := isIdentity([]string{"identity", value})
		codings := strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
		for _, coding := range codings {
			if got && strings.Trim(coding, "\n\v\f\r\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000") != "identity" {
				t.Errorf("%q passes", value)
			}
		}
		if got != isIdentity([]string{value, ""}) {
			t.Errorf("%q depends on its neighbours", value)
		}
	})
}
