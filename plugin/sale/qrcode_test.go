package sale

import "testing"

func TestAppendQRCodeURL_IsThePublishedOne(t *testing.T) {
	const want = "https://hoko.to/qrcode?text=https%3A%2F%2Fhoko.to%2Fabc123%3Fqr%3D1&size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg"
	if got := appendQRCodeURL(nil, "https://hoko.to/abc123"); string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestOrigin_IsThatOfABrowser(t *testing.T) {
	for address, want := range map[string]string{
		"https://hoko.to/a":         "https://hoko.to",
		"https://hoko.to":           "https://hoko.to",
		"https://hoko.to?x=1":       "https://hoko.to",
		"https://hoko.to#f":         "https://hoko.to",
		"HTTPS://Hoko.TO/A":         "https://hoko.to",
		"https://hoko.to:443/a":     "https://hoko.to",
		"https://hoko.to:8443/a":    "https://hoko.to:8443",
		"http://hoko.to:80/a":       "http://hoko.to",
		"http://hoko.to:443/a":      "http://hoko.to:443",
		"https://hoko.to:80/a":      "https://hoko.to:80",
		"https://me:pw@hoko.to/a":   "https://hoko.to",
		"https://hoko.to/@me":       "https://hoko.to",
		"https://[::1]:8080/a":      "https://[::1]:8080",
		"https://hoko.to/a://b/c":   "https://hoko.to",
		"hoko.to/a":                 "hoko.to",
		"/a":                        "",
		"":                          "",
		"https://روابط.example/عرض": "https://روابط.example",
	} {
		if got := origin(address); got != want {
			t.Errorf("origin(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestWithQR_AddsToTheQuery(t *testing.T) {
	for address, want := range map[string]string{
		"https://hoko.to/a":            "https://hoko.to/a?qr=1",
		"https://hoko.to":              "https://hoko.to?qr=1",
		"https://hoko.to/a?":           "https://hoko.to/a?qr=1",
		"https://hoko.to/a?x=1":        "https://hoko.to/a?x=1&qr=1",
		"https://hoko.to/a?x=1&y=?":    "https://hoko.to/a?x=1&y=?&qr=1",
		"https://hoko.to/a#f":          "https://hoko.to/a?qr=1#f",
		"https://hoko.to/a?#f":         "https://hoko.to/a?qr=1#f",
		"https://hoko.to/a?x=1#f?g#h":  "https://hoko.to/a?x=1&qr=1#f?g#h",
		"https://hoko.to/a#f?no=query": "https://hoko.to/a?qr=1#f?no=query",
		"":                             "?qr=1",
	} {
		if got := withQR(address); got != want {
			t.Errorf("withQR(%q) = %q, want %q", address, got, want)
		}
	}
}

// The right side is what a browser's encodeURIComponent gives.
func TestAppendURIComponent_IsThatOfABrowser(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "",
		"https://hoko.to/abc123?qr=1": "https%3A%2F%2Fhoko.to%2Fabc123%3Fqr%3D1",
		"AZaz09-_.!~*'()":             "AZaz09-_.!~*'()",
		"a b+c&d=e/f?g#h%i":           "a%20b%2Bc%26d%3De%2Ff%3Fg%23h%25i",
		"\"<>\\^`{|}[]@:;,$":          "%22%3C%3E%5C%5E%60%7B%7C%7D%5B%5D%40%3A%3B%2C%24",
		"مثال":                        "%D9%85%D8%AB%D8%A7%D9%84",
		"🛒":                           "%F0%9F%9B%92",
		"é":                           "%C3%A9",
		"中文":                          "%E4%B8%AD%E6%96%87",
		"\x00\x1f\x7f\u2028":          "%00%1F%7F%E2%80%A8",
	} {
		if got := appendURIComponent(nil, text); string(got) != want {
			t.Errorf("encodeURIComponent(%q) = %q, want %q", text, got, want)
		}
	}
}
