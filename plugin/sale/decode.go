package sale

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Defaults of members that are absent or null.
const (
	defaultCurrency  = "usd"
	defaultEventName = "Purchase"
)

// Decode reads the body of POST /api/track/sale by the rules of docs/api.md: one JSON object (RFC
// 8259, UTF-8) without duplicate members at any depth. Unknown members are ignored. Every error is
// an *InvalidError. Decode neither changes nor keeps the body.
func Decode(body []byte) (*Request, error) {
	d := decoders.Get().(*decoder)
	defer d.release()
	d.reset(body)
	return d.request()
}

// decoders pools decoders and their buffers.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decoder reads one body token by token. jsontext checks the JSON; the methods check the members.
type decoder struct {
	json    jsontext.Decoder
	source  bytes.Buffer // jsontext reads a bytes.Buffer in place
	body    []byte
	text    []byte // the last string that had escapes, unescaped
	compact []byte // metadata as compact JSON
}

func (d *decoder) reset(body []byte) {
	d.body = body
	d.source = *bytes.NewBuffer(body)
	d.json.Reset(&d.source)
}

// maxPooled is the max size of a buffer that a pool keeps, in bytes. Otherwise, a few large bodies
// would hold memory forever.
const maxPooled = 16 << 10

func (d *decoder) release() {
	d.reset(nil) // drops the body
	if cap(d.text)+cap(d.compact) > maxPooled {
		d.text, d.compact = nil, nil
	}
	decoders.Put(d)
}

func (d *decoder) request() (*Request, error) {
	if kind, err := d.kind(); err != nil {
		return nil, err
	} else if kind != jsontext.KindBeginObject {
		return nil, invalid(wholeBody, "must be a JSON object")
	}
	if _, err := d.json.ReadToken(); err != nil {
		return nil, d.malformed(err)
	}
	r := &Request{Currency: defaultCurrency, EventName: defaultEventName}
	var given required
	for d.json.PeekKind() != jsontext.KindEndObject {
		name, err := d.json.ReadValue()
		if err != nil {
			return nil, d.malformed(err)
		}
		if err := d.member(r, &given, d.unescape(name)); err != nil {
			return nil, err
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return nil, d.malformed(err)
	}
	if _, err := d.json.ReadToken(); err != io.EOF {
		return nil, invalid(wholeBody, "must end after the JSON object")
	}
	if member := given.missing(); member != "" {
		return nil, invalid(member, "is required")
	}
	return r, nil
}

// required records which members without a default were sent.
type required struct{ customerExternalID, amount, customerName bool }

// missing returns the first member that was not sent, or "" if all were.
func (g required) missing() string {
	switch {
	case !g.customerExternalID:
		return "customerExternalId"
	case !g.amount:
		return "amount"
	case !g.customerName:
		return "customerName"
	}
	return ""
}

// member reads the value of the member with this name, which is case-sensitive.
func (d *decoder) member(r *Request, given *required, name []byte) (err error) {
	switch string(name) {
	case "customerExternalId":
		given.customerExternalID = true
		r.CustomerExternalID, err = d.requiredText("customerExternalId", 1, 100)
	case "amount":
		given.amount = true
		r.Amount, err = d.amount()
	case "currency":
		r.Currency, err = d.currency()
	case "eventName":
		r.EventName, err = d.optionalText("eventName", 255, defaultEventName)
	case "metadata":
		r.Metadata, err = d.metadata()
	case "leadEventName":
		r.LeadEventName, err = d.optionalText("leadEventName", 255, "")
	case "clickId":
		r.ClickID, err = d.optionalText("clickId", 255, "")
	case "customerName":
		given.customerName = true
		r.CustomerName, err = d.requiredText("customerName", 0, 100)
	case "customerEmail":
		r.CustomerEmail, err = d.clearable("customerEmail", emailFault)
	case "customerAvatar":
		r.CustomerAvatar, err = d.clearable("customerAvatar", avatarFault)
	default:
		if err := d.json.SkipValue(); err != nil {
			return d.malformed(err)
		}
	}
	return err
}

// kind returns the kind of the next value.
func (d *decoder) kind() (jsontext.Kind, error) {
	switch kind := d.json.PeekKind(); kind {
	case jsontext.KindNull, jsontext.KindTrue, jsontext.KindFalse, jsontext.KindString, jsontext.KindNumber,
		jsontext.KindBeginObject, jsontext.KindBeginArray:
		return kind, nil
	}
	_, err := d.json.ReadToken()
	return jsontext.KindInvalid, d.malformed(err)
}

func (d *decoder) null() error {
	if _, err := d.json.ReadToken(); err != nil {
		return d.malformed(err)
	}
	return nil
}

// optionalText reads a string of at most max characters. It returns missing for null.
func (d *decoder) optionalText(member string, max int, missing string) (string, error) {
	text, given, err := d.boundedText(member, 0, max)
	if err != nil || !given {
		return missing, err
	}
	return text, nil
}

// requiredText reads a string of min to max characters. Null is an error.
func (d *decoder) requiredText(member string, min, max int) (string, error) {
	text, given, err := d.boundedText(member, min, max)
	if err == nil && !given {
		return "", invalid(member, "must not be null")
	}
	return text, err
}

// clearable reads a string that fault accepts, or the null that clears the stored value.
func (d *decoder) clearable(member string, fault func(string) string) (Optional, error) {
	text, given, err := d.anyText(member)
	if err != nil {
		return Optional{}, err
	}
	if !given {
		return Optional{Given: true}, nil
	}
	if reason := fault(text); reason != "" {
		return Optional{}, invalid(member, reason)
	}
	return Optional{Given: true, Value: &text}, nil
}

// currency reads three ASCII letters and returns them in lowercase.
func (d *decoder) currency() (string, error) {
	text, given, err := d.anyText("currency")
	if err != nil || !given {
		return defaultCurrency, err
	}
	if len(text) != 3 || strings.ContainsFunc(text, func(r rune) bool { return r|0x20 < 'a' || r|0x20 > 'z' }) {
		return "", invalid("currency", "must be three ASCII letters")
	}
	return strings.ToLower(text), nil
}

// boundedText reads a string of min to max characters (code points). given is false for null.
func (d *decoder) boundedText(member string, min, max int) (text string, given bool, err error) {
	text, given, err = d.anyText(member)
	if err != nil || !given {
		return "", given, err
	}
	switch characters := utf8.RuneCountInString(text); {
	case characters < min:
		return "", true, invalid(member, "must not be empty")
	case characters > max:
		return "", true, invalid(member, "must be at most "+strconv.Itoa(max)+" characters")
	}
	return text, true, nil
}

// anyText reads a string without NUL, as it was sent. given is false for null.
func (d *decoder) anyText(member string) (text string, given bool, err error) {
	kind, err := d.kind()
	if err != nil {
		return "", false, err
	}
	switch kind {
	case jsontext.KindNull:
		return "", false, d.null()
	case jsontext.KindString:
	default:
		return "", false, invalid(member, "must be a string")
	}
	raw, err := d.json.ReadValue()
	if err != nil {
		return "", false, d.malformed(err)
	}
	if hasNUL(raw) {
		return "", false, invalid(member, "must not contain NUL (U+0000)")
	}
	return string(d.unescape(raw)), true, nil
}

// unescape returns the text of a JSON string. It is valid until the next call.
func (d *decoder) unescape(quoted jsontext.Value) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	// The error is always nil, because jsontext has just read this string.
	d.text, _ = jsontext.AppendUnquote(d.text[:0], quoted)
	return d.text
}

// hasNUL reports whether a JSON string has an escaped NUL, which Postgres cannot store.
func hasNUL(quoted []byte) bool {
	for {
		escape := bytes.IndexByte(quoted, '\\')
		if escape < 0 {
			return false
		}
		quoted = quoted[escape+1:]
		if bytes.HasPrefix(quoted, []byte("u0000")) {
			return true
		}
		quoted = quoted[1:] // the escaped character
	}
}
