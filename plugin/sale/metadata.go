package sale

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of metadata: bytes as compact JSON, and levels of objects and arrays,
// the metadata object itself being level 1.
const (
	maxMetadata      = 10_000
	maxMetadataDepth = 32
)

// metadata reads an object that Postgres can store as jsonb, and returns it as
// it was sent but for the white space between its tokens; nil is null.
func (d *decoder) metadata() ([]byte, error) {
	kind, err := d.kind()
	if err != nil {
		return nil, err
	}
	switch kind {
	case jsontext.KindNull:
		return nil, d.null()
	case jsontext.KindBeginObject:
	default:
		return nil, invalid("metadata", "must be an object")
	}
	d.compact = d.compact[:0]
	for around := d.json.StackDepth(); ; {
		if err := d.metadataToken(d.json.PeekKind()); err != nil {
			return nil, err
		}
		if len(d.compact) > maxMetadata {
			return nil, invalid("metadata", "must be at most 10000 bytes as compact JSON")
		}
		if d.json.StackDepth() == around {
			return bytes.Clone(d.compact), nil
		}
	}
}

// metadataToken moves the next token, and the comma or colon before it, to d.compact.
func (d *decoder) metadataToken(next jsontext.Kind) error {
	d.compact = d.appendSeparator(d.compact, next)
	switch next {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		if d.json.StackDepth() > maxMetadataDepth { // one of these levels is the body's
			return invalid("metadata", "is nested more than 32 deep")
		}
		fallthrough
	case jsontext.KindEndObject, jsontext.KindEndArray:
		if _, err := d.json.ReadToken(); err != nil {
			return d.malformed(err)
		}
		d.compact = append(d.compact, byte(next))
		return nil
	}
	value, err := d.json.ReadValue()
	if err != nil {
		return d.malformed(err)
	}
	switch next {
	case jsontext.KindString:
		if hasNUL(value) {
			return invalid("metadata", "must not contain NUL (U+0000)")
		}
	case jsontext.KindNumber:
		if fault := numberFault(value); fault != "" {
			return invalid("metadata", fault)
		}
	}
	d.compact = append(d.compact, value...)
	return nil
}

// appendSeparator appends what JSON wants between the token before and the next one.
func (d *decoder) appendSeparator(compact []byte, next jsontext.Kind) []byte {
	container, tokens := d.json.StackIndex(d.json.StackDepth())
	switch {
	case len(compact) == 0, tokens == 0, next == jsontext.KindEndObject, next == jsontext.KindEndArray:
		return compact
	case container == jsontext.KindBeginObject && tokens%2 == 1:
		return append(compact, ':')
	}
	return append(compact, ',')
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
