package sale

import (
	"bytes"
	"math/big"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of metadata: bytes of compact JSON, and levels of objects and arrays, of which the
// metadata object is the first.
const (
	maxMetadata      = 10_000
	maxMetadataDepth = 32
)

// metadata reads an object that Postgres can store as jsonb, and returns it as sent except for
// white space between tokens. It returns nil for null.
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
	for outer := d.json.StackDepth(); ; {
		if err := d.metadataToken(d.json.PeekKind()); err != nil {
			return nil, err
		}
		if len(d.compact) > maxMetadata {
			return nil, invalid("metadata", "must be at most 10000 bytes as compact JSON")
		}
		if d.json.StackDepth() == outer {
			return bytes.Clone(d.compact), nil
		}
	}
}

// metadataToken appends the next token, and the comma or colon before it, to d.compact.
func (d *decoder) metadataToken(next jsontext.Kind) error {
	d.compact = d.appendSeparator(d.compact, next)
	switch next {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		if d.json.StackDepth() > maxMetadataDepth { // one level is the body's
			return invalid("metadata", "is nested more than 32 levels deep")
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

// appendSeparator appends the comma or colon between the previous token and the next.
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

// maxWrittenExponent is the largest exponent in metadata. Postgres writes out the zeros of a
// numeric, so that a few bytes could become megabytes.
const maxWrittenExponent = 400

// The decimal digits of the bounds of doubles (IEEE 754, round to nearest, ties to even): a number
// of at least 2^1024 − 2^970 = 1.797…e308 becomes infinity, and one of at most 2^-1075 =
// 2.470…e-324, which has the digits of 5^1075, becomes zero.
var (
	infinityDigits = new(big.Int).Lsh(big.NewInt(1<<54-1), 970).String()
	zeroDigits     = new(big.Int).Exp(big.NewInt(5), big.NewInt(1075), nil).String()
)

// numberFault returns why a number cannot be in metadata, or "" if it can. Readers that use doubles
// must not see infinity or zero instead. It compares digits as text, because converting the
// smallest doubles takes a hundred times longer.
func numberFault(number []byte) string {
	mantissa, exponent := cutExponent(number)
	if max(exponent, -exponent) > maxWrittenExponent {
		return "has a number with an exponent beyond 400"
	}
	first := bytes.IndexAny(mantissa, "123456789")
	if first < 0 {
		return ""
	}
	magnitude := exponent + power(mantissa, first)
	if -324 < magnitude && magnitude < 308 {
		return ""
	}
	digits := string(bytes.TrimRight(bytes.Replace(mantissa[first:], []byte("."), nil, 1), "0"))
	switch {
	case magnitude > 308 || magnitude == 308 && digits >= infinityDigits:
		return "has a number too large for a double"
	case magnitude < -324 || magnitude == -324 && digits <= zeroDigits:
		return "has a number too small for a double"
	}
	return ""
}
