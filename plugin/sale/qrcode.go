package sale

import "strings"

// appendQRCodeURL appends the address of a short link's QR code. Its text is
// the short link with qr=1 in its query, so that a scan can be told from a click.
func appendQRCodeURL(dst []byte, shortURL string) []byte {
	dst = append(dst, origin(shortURL)...)
	dst = append(dst, "/qrcode?text="...)
	dst = appendURIComponent(dst, withQR(shortURL))
	return append(dst, "&size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg"...)
}

// origin is the scheme, host and port of an address, as a browser writes them
// (RFC 6454): in lower case, without the scheme's own port or a user name.
func origin(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		scheme, rest = "", address
	}
	scheme = strings.ToLower(scheme)
	if end := strings.IndexAny(rest, `/?#\`); end >= 0 {
		rest = rest[:end]
	}
	host := strings.ToLower(rest[strings.LastIndexByte(rest, '@')+1:])
	switch scheme {
	case "":
		return host
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return scheme + "://" + host
}

// withQR adds qr=1 to an address's query, before its fragment.
func withQR(address string) string {
	fragment := ""
	if at := strings.IndexByte(address, '#'); at >= 0 {
		address, fragment = address[:at], address[at:]
	}
	_, query, _ := strings.Cut(address, "?")
	switch {
	case query != "":
		address += "&"
	case !strings.HasSuffix(address, "?"):
		address += "?"
	}
	return address + "qr=1" + fragment
}

// appendURIComponent escapes as ECMA-262's encodeURIComponent does: all but
// letters, digits and -_.!~*'() as UTF-8 bytes in upper-case hex.
func appendURIComponent(dst []byte, text string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; isUnescaped(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

func isUnescaped(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.!~*'()", c) >= 0
}
