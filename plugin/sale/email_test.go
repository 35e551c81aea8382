package sale

import (
	"net/mail"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// longHost returns a hostname of n bytes in labels of at most 63.
func longHost(n int) string {
	host := ""
	for n-len(host) > 63 {
		host += strings.Repeat("a", 62) + "."
	}
	return host + strings.Repeat("b", n-len(host))
}

var goodEmails = []string{
	"john@example.com", "a@b.c", "John.Doe@Example.COM", "a.b.c.d@example.com", "user+tag@example.com",
	"o'hara@example.ie",
	"!#$%&'*+-/=?^_`{|}~@example.com", "{}|@example.com", "1@2.com", "_@example.com", "-a-@example.com", "a@1.2.3.4a",
	"a@a-b.com", "a@a--b.com", "a@ab--cd.com", "a@xn.com",
	"a@123.com", "a@sub.sub.sub.example.co.uk", "a@example.museum", "a@example.c0m", "a@example.0x1",
	"مستخدم@example.com", "用户@例子.公司", "josé@españa.es", "e\u0301@example.com", "😀@example.com", "ab\u200cc@example.com",
	"a\u202eb@example.com",
	"a@bücher.example", "a@xn--bcher-kva.example", "a@XN--BCHER-KVA.example", "a@Xn--Bcher-Kva.EXAMPLE",
	"a@BÜCHER.example", "a@Bücher.de",
	"a@straße.de", "a@xn--strae-oqa.de", "a@βόλος.com", "a@xn--nxasmm1c.com", "a@مثال.إختبار",
	"a@xn--mgbh0fb.xn--kgbechtv", "a@例え.テスト", "a@उदाहरण.परीक्षा", "a@실례.테스트", "a@דוגמה.טעסט",
	"a@l·l.cat", "a@ー・ァ.jp", "a@نامه\u200cای.com", "a@xn--mgba3gch31f060k.com", "a@क्\u200dष.com", "a@אב״ג.com",
	"a@͵α.com", "a@ا٠١٢.com", "a@ا۰۱۲.com", "a@〇.com",
	strings.Repeat("a", 64) + "@example.com", strings.Repeat("é", 32) + "@example.com",
	"a@" + strings.Repeat("b", 63) + ".com", "a@b." + strings.Repeat("c", 63),
	"a@" + longHost(252), strings.Repeat("a", 64) + "@" + longHost(189),
	"a@" + strings.Repeat("ü", 31) + ".com", "a@b.xn--p1ai", "a@пример.рф",
}

var badEmails = []string{
	"", " ", "@", "a", "a@", "@example.com", "example.com", "a@b", "a@localhost", "a@@example.com", "a@b@example.com",
	"a@example.com@", ".a@example.com", "a.@example.com", "a..b@example.com", "..@example.com", ".@example.com",
	" a@example.com", "a @example.com", "a b@example.com", "a@example.com ", "a@ example.com", "a@exam ple.com",
	"\ta@example.com", "a@example.com\n", "a@example.com\r\nBcc: b@example.com", "a\r\n@example.com", `"a"@example.com`,
	`"a b"@example.com`, `a"b@example.com`, `a\b@example.com`, `a\@b@example.com`, "a(comment)@example.com",
	"a@(comment)example.com", "a@example.com(comment)", "John <a@example.com>", "<a@example.com>",
	"a@example.com,b@example.com", "a;b@example.com", "a:b@example.com", "a,b@example.com", "a[b]@example.com",
	"mailto:a@example.com", "a@[127.0.0.1]", "a@[IPv6:::1]", "a@127.0.0.1", "a@1.2.3.4", "a@example.123", "a@example.0",
	"a@[example.com]", "a@::1", "a@example.com.", "a@.example.com", "a@example..com", "a@.", "a@..", "a@.com", "a@com.",
	"a@example.com..", "a@-example.com", "a@example-.com", "a@example.-com", "a@example.com-", "a@-.com",
	"a@exa_mple.com", "a@_dmarc.example.com", "a@exam!ple.com", "a@example.com/path", "a@example.com:25",
	"a@exa%6dple.com", "a@exam*ple.com", "a@*.example.com", "a@example.c'm", "\u00a0a@example.com",
	"a\u00a0b@example.com", "a\u3000@example.com", "a\u2028b@example.com", "a\u2029@example.com", "a\u0085@example.com",
	"a\u1680@example.com", "a\u2003@example.com", "a\u202f@example.com", "a\u0080@example.com", "a\u009f@example.com",
	"a\x7f@example.com", "a\x00@example.com", "a\x1b@example.com", "a@example\u3002com", "a@exa\uff0emple\uff61com",
	"a@ｅｘａｍｐｌｅ.com", "a@example.com\u200b", "a@exam\u00adple.com", "a@exa\u200bmple.com", "a@exa\u202emple.com",
	"a@\ufeffexample.com", "a@exa\u00a0mple.com", "a@exam\u2028ple.com", "a@bu\u0308cher.example", "a@\u0308a.com",
	"a@\u0300.com", "a@☃.net", "a@i❤.ws", "a@💩.la", "a@xn--n3h.net", "a@xn--ls8h.la", "a@½.com", "a@①.com", "a@ﬁ.com",
	"a@℡.com", "a@İstanbul.com", "a@\u212aelvin.com", "a@a\u2024com.com", "a@a€.com", "a@√.com", "a@xn--.com",
	"a@xn---.com", "a@xn--a.com", "a@xn--abc-.com", "a@xn--example-.com", "a@xn--bücher-kva.example",
	"a@xn--bcher-kv.example", "a@xn--99999999999.com", "a@xn--BCHER-kva-.example", "a@xn--a-ecp.ru",
	"a@xn--0ca24w.xn--zzzzzzzzz", "a@xn--u-ccb.com", "a@xn--3e0b707e.xn--", "a@l·m.cat", "a@·l.cat", "a@・.jp",
	"a@a・b.jp", "a@a\u200cb.com", "a@a\u200db.com", "a@\u200d.com", "a@α͵.com", "a@״א.com", "a@ا٠۰.com", "a@a٠۰b.com",
	"a@a٠b.com", "a@ا۰٠.com", "a@اـب.com", "a@ߺa.com", "a@〱.com", "a@ᄀ.com", "a@aü--b.com", "a@-ü.com", "a@ü-.com",
	"a@123א.com", "a@אa.com", "a@a.א1a.com", "a@1.אב", "a@٠.com", strings.Repeat("a", 65) + "@example.com",
	strings.Repeat("é", 32) + "a@example.com", strings.Repeat("😀", 17) + "@example.com",
	"a@" + strings.Repeat("b", 64) + ".com", "a@b." + strings.Repeat("c", 64), "a@" + longHost(253),
	strings.Repeat("a", 64) + "@" + longHost(190), "a@" + strings.Repeat("b.", 500) + "com",
	"a@" + strings.Repeat("ü", 60) + ".com", "a@xn--" + strings.Repeat("a", 60) + ".com",
}

func TestEmail_AcceptsValidAddresses(t *testing.T) {
	field := func(r *Request) Optional { return r.CustomerEmail }
	checkMember(t, "customerEmail", emailFault, field, goodEmails, badEmails)
}

// checkMember checks that Decode keeps good values of a member as sent and rejects bad ones.
func checkMember(
	t *testing.T, member string, fault func(string) string, field func(*Request) Optional, good, bad []string,
) {
	t.Helper()
	for _, text := range good {
		if fault := fault(text); fault != "" {
			t.Errorf("%q (%+[1]q) %s", text, fault)
		} else if got := field(mustDecode(t, with(member, quote(t, text)))); !got.Given ||
			got.Value == nil || *got.Value != text {
			t.Errorf("%q became %+v", text, got)
		}
	}
	for _, text := range bad {
		if fault(text) == "" {
			t.Errorf("%q (%+[1]q) is accepted", text)
		} else if _, err := Decode([]byte(with(member, quote(t, text)))); err == nil ||
			!strings.HasPrefix(err.Error(), member+": ") {
			t.Errorf("%q gives %v", text, err)
		} else {
			checkReason(t, err)
		}
	}
}

func TestEmail_NamesWhatIsWrong(t *testing.T) {
	expectEach(t, emailFault, map[string]string{
		"a@" + longHost(253):             "must be at most 254 bytes",
		"john":                           "must be an e-mail address",
		"@example.com":                   "must have 1 to 64 bytes before the @",
		strings.Repeat("a", 65) + "@b.c": "must have 1 to 64 bytes before the @",
		`"john doe"@example.com`: "must have only letters, digits, single dots and !#$%&'*+-/=?^_`{|}~ " +
			"before the @",
		"john@localhost":    "must have a domain name of two labels or more after the @",
		"john@example.com.": "must have a domain name of two labels or more after the @",
	})
}

// expectEach checks the results of f.
func expectEach(t *testing.T, f func(string) string, want map[string]string) {
	t.Helper()
	for text, want := range want {
		if got := f(text); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
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
		if len(email) > maxEmail || local == "" || len(local) > maxEmailName ||
			strings.ContainsAny(email, " \"(),:;<>[\\]\r\n\x00") {
			t.Errorf("%q is accepted", email)
		}
		checkHost(t, host, 2)
		if parsed, err := mail.ParseAddress(email); err != nil || parsed.Address != email {
			t.Errorf("%q is accepted, net/mail reads %+v, %v", email, parsed, err)
		}
		if fault := emailFault(local + "@" + strings.ToUpper(host)); isASCII(host) && fault != "" {
			t.Errorf("%q %s in uppercase", email, fault)
		}
	})
}

// checkHost checks that DNS could hold the labels of host.
func checkHost(t *testing.T, host string, least int) {
	t.Helper()
	labels := strings.Split(host, ".")
	if len(labels) < least || len(host) > 1000 {
		t.Errorf("%q is accepted", host)
	}
	for _, label := range labels {
		if label == "" || isASCII(label) && len(label) > maxLabel || label[0] == '-' || strings.HasSuffix(label, "-") ||
			strings.ContainsAny(label, " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}~\x7f") {
			t.Errorf("%q is accepted", host)
		}
		if !isACE(label) {
			continue
		}
		if decoded, err := idna.Punycode.ToUnicode(strings.ToLower(label)); err != nil || isASCII(decoded) {
			t.Errorf("%q is accepted, punycode decodes %q: %v", host, decoded, err)
		} else if encoded, err := idna.Punycode.ToASCII(decoded); err != nil || encoded != strings.ToLower(label) {
			t.Errorf("%q is accepted, punycode encodes %q: %v", host, encoded, err)
		}
	}
}
