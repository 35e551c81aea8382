package sale

import (
	"bytes"
	"encoding/json"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// utmKeys are the members of an answered utm, in their order.
var utmKeys = [...]string{"source", "medium", "campaign", "term", "content", "referral"}

// utms lend their memory from one answer to the next.
var utms = sync.Pool{New: func() any { return new(utm) }}

// utm reads what is stored of a link's UTM parameters.
type utm struct {
	json   jsontext.Decoder
	source bytes.Buffer // jsontext reads a bytes.Buffer in place
	// values in the order of utmKeys, as JSON strings; nil where there is none.
	values [len(utmKeys)]jsontext.Value
}

// appendUTM appends the known keys whose values are non-empty strings, or null
// where that leaves nothing.
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
	u.json.Reset(&u.source) // forgets what it has read
	utms.Put(u)
}

// read reports whether stored is a JSON object. Whatever its other members
// hold, they do not cost the known ones.
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
		if at >= 0 { // what a Decoder returns is gone with the next it reads
			end := u.json.InputOffset()
			u.values[at] = stored[end-int64(len(value)) : end]
		}
	}
	return true
}

// utmIndex is the place of a member's name in utmKeys, -1 if it is not there.
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
