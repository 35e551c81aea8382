package sale

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// quote returns text as a JSON string.
func quote(t testing.TB, text string) string {
	t.Helper()
	raw, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var goodAvatars = []string{
	"https://example.com/a.png", "http://example.com", "HTTPS://EXAMPLE.COM/A.PNG", "hTtP://example.com/",
	"https://example.com?x", "https://example.com#x", "https://example.com/?", "https://example.com/#",
	"https://a.b.c.example.co.uk/x/y/z.jpg?size=512&v=1#top", "https://example.com//a//b",
	"https://example.com/../a/./b", "https://example.com/;v=1,2/!$&'()*+,;=:@-._~",
	"https://example.com/?a=/?:@!$&'()*+,;=-._~", "https://example.com/#/?:@!$&'()*+,;=-._~",
	"https://example.com/a%20b%C3%A9%00%fF", "https://example.com/?q=%3C%3E", "http://localhost/a.png",
	"http://localhost:9000/a.png", "http://minio/a", "https://example.com./a",
	"https://my_bucket.s3.amazonaws.com/a.png", "https://r3---sn.example.com/a", "https://example.com:443/",
	"https://example.com:/", "https://example.com:0/", "https://example.com:65535/", "https://example.com:00000080/",
	"https://example.com:8080?x", "https://example.com:8080#x", "https://example.com:8080", "http://127.0.0.1/",
	"http://127.0.0.1:8080/a", "http://255.255.255.255", "http://0.0.0.0/", "http://[::1]/", "http://[::1]:8080/a",
	"http://[2001:db8::1]", "http://[2001:DB8::1]:/", "http://[::ffff:192.0.2.1]/", "http://[2001:db8:0:0:0:0:0:1]?x",
	"https://user@example.com/", "https://user:pass@example.com/", "https://user:@example.com:80/",
	"https://:@example.com/", "https://us%40er:p%3Aw!$&'()*+,;=@example.com/", "https://@example.com/",
	"https://user/@example.com:x/", "https://bücher.example/a", "https://xn--bcher-kva.example/a",
	"https://BÜCHER.example/a", "https://例え.テスト/", "https://مثال.إختبار/صورة.png", "https://xn--mgbh0fb.xn--kgbechtv/",
	"https://пример.рф:443/картинка.png", "https://example.com/صورة.png", "https://example.com/漢字/😀.png?名=値#節",
	"https://example.com/e\u0301", "https://example.com/a\u200bb\u202e\ufeff", "https://é@example.com/",
	"https://example.com/" + strings.Repeat("a", maxAvatar-len("https://example.com/")),
	"https://example.com/" + strings.Repeat("é", 1014), "https://" + longHost(253) + "/",
	"https://" + strings.Repeat("a", 63) + "/", "https://a/", "https://a.b", "https://1.a/", "https://1a/",
	"https://0x7f.a/",
}

var badAvatars = []string{
	"", " ", "a", "example.com", "//example.com/a", "/a.png", "a.png", "?x", "#x", "https", "https:", "https:/",
	"https://", "https:///", "https:///a.png", "https://?x", "https://#x", "https://:80/", "https://@/", "https://:80",
	"https://user@/", "https://user@:80/",
	"https:example.com", "https:/example.com", "http:\\\\example.com", "https:\\/\\/example.com", "https//example.com",
	"https://\\example.com/", "https://example.com\\a", "https://example.com/a\\b",
	"ftp://example.com/", "javascript:alert(1)", "javascript://example.com/%0aalert(1)", "data:image/png;base64,AAAA",
	"file:///etc/passwd", "file://localhost/a", "mailto:a@example.com", "blob:https://example.com/1",
	"ws://example.com/", "httpss://example.com/", "http+unix://example.com/", "xhttp://example.com/",
	" https://example.com/", "https://example.com/ ", "https ://example.com/", "https: //example.com/",
	"\u00a0https://example.com/", "ｈttps://example.com/", "hTTPſ://example.com/",
	"https://example.com/a b", "https://exam ple.com/", "https://example.com/\ta", "https://example.com/a\n",
	"https://example.com/\r\nX: y", "https://example.com/\x00", "https://example.com/\x7f", "https://example.com/\x1b",
	"https://example.com/\u0085", "https://example.com/\u009f", "https://example.com/\u0080",
	"https://example.com/\u00a0", "https://example.com/\u2028", "https://example.com/\u2029",
	"https://example.com/\u3000", "https://example.com/?\u2003", "https://example.com/#\u1680",
	"https://a\u202f@example.com/",
	"http://a<b", "https://example.com/<script>", "https://example.com/a>b", `https://example.com/"`,
	"https://example.com/^", "https://example.com/`", "https://example.com/{a}", "https://example.com/a|b",
	"https://example.com/?a={b}", "https://example.com/?a|b", "https://example.com/#a<b", `https://example.com/?"`,
	"https://example.com/[a]", "https://example.com/?a[]=1", "https://example.com/#a#b", "https://us<er@example.com/",
	"https://us[er@example.com/", `https://us"er@example.com/`, "https://a@b@example.com/",
	"https://example.com/%", "https://example.com/%2", "https://example.com/%zz", "https://example.com/%2g",
	"https://example.com/a%", "https://example.com/?%", "https://example.com/?%4", "https://example.com/#%",
	"https://%@example.com/", "https://%4@example.com/", "https://example.com/%é0", "https://example.com/%%20",
	"https://example.com:65536/", "https://example.com:99999/", "https://example.com:-1/", "https://example.com:+80/",
	"https://example.com:80a/", "https://example.com:0x50/", "https://example.com: 80/", "https://example.com:80:80/",
	"https://example.com::80/", "https://example.com:18446744073709551696/", "https://example.com:٨٠/",
	"https://example.com:8 0",
	"https://.example.com/", "https://example..com/", "https://./", "https://../", "https://example.com../",
	"https://-example.com/", "https://example-.com/", "https://exa$mple.com/", "https://exa%6dple.com/",
	"https://%65xample.com/", "https://exam*ple.com/", "https://exa,mple.com/", "https://a;b/", "https://a&b/",
	"https://(a)/", "https://a'b/", "https://a~b/", "https://a!b/",
	"https://256.1.1.1/", "https://1.2.3/", "https://1.2.3.4.5/", "https://1.2.3.04/", "https://123/",
	"https://2130706433/", "https://example.123/", "https://1.2.3.4./", "https://1.2.3.256/",
	"http://::1/", "http://2001:db8::1/", "http://[::1/", "http://::1]/", "http://[]/", "http://[1.2.3.4]/",
	"http://[::1]x/", "http://[::1]80/", "http://[::1]:x/", "http://[::1]:65536/", "http://[fe80::1%25eth0]/",
	"http://[fe80::1%eth0]/", "http://[v1.a]/", "http://[::g]/", "http://[[::1]]/", "http://x[::1]/",
	"http://[::1].example.com/", "http://[example.com]/", "http://[::1]]/", "http://[:::1]/", "http://[1::2::3]/",
	"http://]::1/", "http://]/",
	"https://☃.net/", "https://i❤.ws/", "https://xn--n3h.net/", "https://xn--/", "https://xn--a/",
	"https://bu\u0308cher.example/", "https://example\u3002com/", "https://ｅｘａｍｐｌｅ.com/", "https://exam\u00adple.com/",
	"https://exa\u200bmple.com/", "https://123א.com/",
	"https://example.com/" + strings.Repeat("a", maxAvatar+1-len("https://example.com/")),
	"https://example.com/" + strings.Repeat("é", 1014) + "a", "https://" + strings.Repeat("a", 64) + ".com/",
	"https://" + longHost(254) + "/", "https://" + strings.Repeat("a.", 500) + "com/",
}

func TestAvatar_AcceptsValidURLs(t *testing.T) {
	field := func(r *Request) Optional { return r.CustomerAvatar }
	checkMember(t, "customerAvatar", avatarFault, field, goodAvatars, badAvatars)
}

func TestAvatar_NamesWhatIsWrong(t *testing.T) {
	expectEach(t, avatarFault, map[string]string{
		"https://example.com/" + strings.Repeat("a", maxAvatar): "must be at most 2048 bytes",
		"example.com/a.png":         "must be an absolute http or https URL",
		"https://example.com/a b":   "has a character that a URL must escape, or an invalid escape",
		"https://example.com/%":     "has a character that a URL must escape, or an invalid escape",
		"https://exa$mple.com/":     "must have a valid host, and a port of at most 65535 if any",
		"https://example.com:65536": "must have a valid host, and a port of at most 65535 if any",
	})
}

func FuzzAvatar(f *testing.F) {
	for _, avatar := range append(goodAvatars, badAvatars...) {
		f.Add(avatar)
	}
	f.Fuzz(func(t *testing.T, avatar string) {
		if !utf8.ValidString(avatar) || avatarFault(avatar) != "" {
			return
		}
		if len(avatar) > maxAvatar || strings.ContainsAny(avatar, "\"<>\\^`{|}") ||
			strings.ContainsFunc(avatar, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			t.Errorf("%q is accepted", avatar)
		}
		parsed, err := url.Parse(withoutForeignUserinfo(avatar))
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			t.Fatalf("%q is accepted, net/url reads %+v, %v", avatar, parsed, err)
		}
		if host := parsed.Hostname(); !strings.Contains(host, ":") {
			checkHost(t, strings.TrimSuffix(host, "."), 1)
		}
	})
}

// withoutForeignUserinfo drops a userinfo with non-ASCII characters, which net/url rejects.
func withoutForeignUserinfo(avatar string) string {
	scheme, rest, _ := strings.Cut(avatar, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if at := strings.LastIndexByte(rest[:end], '@'); at >= 0 && !isASCII(rest[:at]) {
		return scheme + "://" + rest[at+1:]
	}
	return avatar
}
