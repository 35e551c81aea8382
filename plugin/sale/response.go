package sale

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendResponse appends the body of a sale's 201 to dst and returns it. The format is frozen,
// because replays are rendered again: every version must repeat the bytes of the first response.
func AppendResponse(dst []byte, r *Recorded) []byte {
	dst = append(dst, `{"click":`...)
	if r.ClickID == nil {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, `{"id":`...)
		dst = appendString(dst, *r.ClickID)
		dst = append(dst, '}')
	}
	dst = appendLink(append(dst, `,"link":`...), &r.Link)
	dst = appendCustomer(append(dst, `,"customer":`...), &r.Customer)
	dst = strconv.AppendInt(append(dst, `,"sale":{"amount":`...), r.Amount, 10)
	dst = appendString(append(dst, `,"currency":`...), r.Currency)
	dst = appendString(append(dst, `,"eventName":`...), r.EventName)
	dst = append(dst, `,"metadata":`...)
	if len(r.Metadata) == 0 {
		dst = append(dst, "null"...)
	}
	dst = append(dst, r.Metadata...)
	return append(dst, "}}"...)
}

func appendLink(dst []byte, l *Link) []byte {
	dst = appendString(append(dst, `{"id":`...), l.ID)
	dst = appendString(append(dst, `,"url":`...), l.URL)
	dst = appendString(append(dst, `,"shortUrl":`...), l.ShortURL)
	dst = append(dst, `,"qrCode":`...)
	dst = appendString(dst, appendQRCodeURL(make([]byte, 0, 256), l.ShortURL))
	dst = appendNullable(append(dst, `,"title":`...), l.Title)
	dst = appendNullable(append(dst, `,"description":`...), l.Description)
	dst = appendNullable(append(dst, `,"image":`...), l.Image)
	dst = appendUTM(append(dst, `,"utm":`...), l.UTM)
	dst = appendNullable(append(dst, `,"collectionId":`...), l.CollectionID)
	dst = appendNullable(append(dst, `,"partnerId":`...), l.PartnerID)
	dst = appendNullable(append(dst, `,"tenantId":`...), l.TenantID)
	dst = appendNullable(append(dst, `,"externalId":`...), l.ExternalID)
	dst = append(dst, `,"createdAt":"`...)
	dst = l.CreatedAt.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, `"}`...)
}

func appendCustomer(dst []byte, c *Customer) []byte {
	dst = appendString(append(dst, `{"id":`...), c.ID)
	dst = appendString(append(dst, `,"name":`...), c.Name)
	dst = appendNullable(append(dst, `,"email":`...), c.Email)
	dst = appendNullable(append(dst, `,"phone":`...), c.Phone)
	dst = appendNullable(append(dst, `,"avatar":`...), c.Avatar)
	dst = appendString(append(dst, `,"externalId":`...), c.ExternalID)
	return append(dst, '}')
}

func appendNullable(dst []byte, text *string) []byte {
	if text == nil {
		return append(dst, "null"...)
	}
	return appendString(dst, *text)
}

// appendString escapes only what JSON requires. It keeps &, <, > and non-ASCII.
func appendString[T string | []byte](dst []byte, text T) []byte {
	dst, _ = jsontext.AppendQuote(dst, text) // an error means invalid UTF-8, which becomes U+FFFD
	return dst
}

// appendQRCodeURL appends the URL of a short link's QR code. The code contains the short link with
// qr=1 in its query, which distinguishes scans from clicks.
func appendQRCodeURL(dst []byte, shortURL string) []byte {
	dst = append(dst, origin(shortURL)...)
	dst = append(dst, "/qrcode?text="...)
	dst = appendURIComponent(dst, withQR(shortURL))
	return append(dst, "&size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg"...)
}

// origin returns the scheme, host and port of a URL as a browser does (RFC 6454): in lowercase, and
// without userinfo and default port.
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

// withQR adds qr=1 to the query of a URL, before its fragment.
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

// appendURIComponent escapes text like ECMA-262's encodeURIComponent: all but letters, digits and
// -_.!~*'() as UTF-8 bytes in uppercase hex.
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
	return isAlphanumeric(c) || strings.IndexByte("-_.!~*'()", c) >= 0
}

// utmKeys are the members of utm in a response, in order.
var utmKeys = [...]string{"source", "medium", "campaign", "term", "content", "referral"}

var utms = sync.Pool{New: func() any { return new(utm) }}

// utm reads the stored UTM parameters of a link.
type utm struct {
	json   jsontext.Decoder
	source bytes.Buffer                 // jsontext reads a bytes.Buffer in place
	values [len(utmKeys)]jsontext.Value // in the order of utmKeys; nil if missing
}

// appendUTM appends an object of the known keys whose values are non-empty strings, or null if
// there are none.
func appendUTM(dst []byte, stored json.RawMessage) []byte {
	if len(stored) == 0 {
		return append(dst, "null"...)
	}
	u := utms.Get().(*utm)
	defer u.release()
	if !u.read(stored) {
		return append(dst, "null"...)
	}
	return u.append(dst)
}

func (u *utm) release() {
	*u = utm{json: u.json}
	u.json.Reset(&u.source) // drops what it has read
	utms.Put(u)
}

// read reads the known keys and reports whether stored is a JSON object. It ignores other members.
func (u *utm) read(stored []byte) bool {
	u.source = *bytes.NewBuffer(stored)
	u.json.Reset(&u.source, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if u.json.PeekKind() != jsontext.KindBeginObject {
		return false
	}
	if _, err := u.json.ReadToken(); err != nil {
		return false
	}
	for u.json.PeekKind() != jsontext.KindEndObject {
		name, err := u.json.ReadValue()
		if err != nil {
			return false
		}
		at := utmIndex(name)
		value, err := u.json.ReadValue()
		if err != nil {
			return false
		}
		if at >= 0 { // a copy in stored, as value is valid only until the next read
			end := u.json.InputOffset()
			u.values[at] = stored[end-int64(len(value)) : end]
		}
	}
	return true
}

// utmIndex returns the index of a member's name in utmKeys, or -1 if it is not a key.
func utmIndex(quoted jsontext.Value) int {
	var text [32]byte
	name, _ := jsontext.AppendUnquote(text[:0], quoted)
	for i, key := range utmKeys {
		if string(name) == key {
			return i
		}
	}
	return -1
}

func (u *utm) append(dst []byte) []byte {
	separator := byte('{')
	var text [256]byte
	for i, value := range u.values {
		if value.Kind() != jsontext.KindString || len(value) == len(`""`) {
			continue
		}
		dst = append(dst, separator, '"')
		dst = append(dst, utmKeys[i]...)
		dst = append(dst, `":`...)
		unquoted, _ := jsontext.AppendUnquote(text[:0], value)
		dst = appendString(dst, unquoted)
		separator = ','
	}
	if separator == '{' {
		return append(dst, "null"...)
	}
	return append(dst, '}')
}
