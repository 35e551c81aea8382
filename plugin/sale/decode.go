package sale

import (
	"bytes"
	"io"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// What a request that does not name them is recorded with.
const (
	defaultCurrency  = "usd"
	defaultEventName = "Purchase"
)

// Decode reads the body of POST /api/track/sale by the rules of docs/api.md: a
// single JSON object (RFC 8259) in UTF-8, in which no object, unknown members'
// included, has a member twice. Unknown members are read and ignored. Every
// error is an *InvalidError. The body is neither changed nor kept.
func Decode(body []byte) (*Request, error) {
	d := decoders.Get().(*decoder)
	defer d.release()
	d.reset(body)
	return d.request()
}

// decoders lend their buffers from one request to the next.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decoder reads one body, token by token: jsontext says what is JSON, and the
// methods here which JSON is a sale.
type decoder struct {
	json    jsontext.Decoder
	source  bytes.Buffer // jsontext reads a bytes.Buffer in place
	body    []byte
	text    []byte // of the last string that had escapes
	compact []byte // metadata
}

func (d *decoder) reset(body []byte) {
	d.body = body
	d.source = *bytes.NewBuffer(body)
	d.json.Reset(&d.source)
}

// maxLent keeps what a few large bodies needed from being held for good.
const maxLent = 16 << 10

func (d *decoder) release() {
	d.reset(nil) // forgets the body
	if cap(d.text)+cap(d.compact) > maxLent {
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

// required remembers which of the members that have no default were sent.
type required struct{ customerExternalID, amount, customerName bool }

// missing names the first that was not sent, "" if all were.
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

// member reads the value of the member of this name, which is case-sensitive.
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

// kind is that of the value which comes next.
func (d *decoder) kind() (jsontext.Kind, error) {
	switch kind := d.json.PeekKind(); kind {
	case jsontext.KindNull, jsontext.KindTrue, jsontext.KindFalse, jsontext.KindString, jsontext.KindNumber,
		jsontext.KindBeginObject, jsontext.KindBeginArray:
		return kind, nil
	}
	_, err := d.json.ReadToken()
	return jsontext.KindInvalid, d.malformed(err)
}

// null reads past a null.
func (d *decoder) null() error {
	if _, err := d.json.ReadToken(); err != nil {
		return d.malformed(err)
	}
	return nil
}

// optionalText reads a string of at most so many characters; null is missing.
func (d *decoder) optionalText(member string, most int, missing string) (string, error) {
	text, given, err := d.boundedText(member, 0, most)
	if err != nil || !given {
		return missing, err
	}
	return text, nil
}

// requiredText reads a string of so many characters, which null is not.
func (d *decoder) requiredText(member string, least, most int) (string, error) {
	text, given, err := d.boundedText(member, least, most)
	if err == nil && !given {
		return "", invalid(member, "must not be null")
	}
	return text, err
}

// clearable reads a string in which fault finds nothing wrong, or the null
// that clears what is stored.
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

// currency reads three ASCII letters.
func (d *decoder) currency() (string, error) {
	text, given, err := d.anyText("currency")
	if err != nil || !given {
		return defaultCurrency, err
	}
	if len(text) != 3 {
		return "", invalid("currency", "must be three ASCII letters")
	}
	var lower [3]byte
	for i := range lower {
		lower[i] = text[i] | 0x20
		if lower[i] < 'a' || lower[i] > 'z' {
			return "", invalid("currency", "must be three ASCII letters")
		}
	}
	if string(lower[:]) == text {
		return text, nil
	}
	return string(lower[:]), nil
}

// boundedText reads a string of so many characters, which are Unicode code points;
// not given is null.
func (d *decoder) boundedText(member string, least, most int) (text string, given bool, err error) {
	text, given, err = d.anyText(member)
	if err != nil || !given {
		return "", given, err
	}
	switch characters := utf8.RuneCountInString(text); {
	case characters < least:
		return "", true, invalid(member, "must not be empty")
	case characters > most:
		return "", true, invalid(member, "must be at most "+strconv.Itoa(most)+" characters")
	}
	return text, true, nil
}

// anyText reads a string that Postgres can store, as it was sent; not given is null.
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

// unescape is the text of a JSON string, valid until the next one is read.
func (d *decoder) unescape(quoted jsontext.Value) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	// It cannot fail: jsontext has just read this string.
	d.text, _ = jsontext.AppendUnquote(d.text[:0], quoted)
	return d.text
}

// hasNUL reports whether a JSON string stands for text with a NUL in it, which
// Postgres stores neither in text nor in jsonb.
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
		quoted = quoted[1:] // it may be a backslash itself
	}
}
