package sale

import (
	"bytes"
	"math/big"
)

// maxExponent is where the exponents that cutExponent reads end. It is far
// beyond what the digits of any body could make up for.
const maxExponent = 1 << 40

// cutExponent splits the text of a JSON number before its exponent, which is 0
// where none is written and ±maxExponent where a larger one is. A number is
// never expanded: 1e999999999 costs as much as its eleven bytes.
func cutExponent(number []byte) (mantissa []byte, exponent int64) {
	e := bytes.IndexAny(number, "eE")
	if e < 0 {
		return number, 0
	}
	for _, digit := range bytes.TrimLeft(number[e+1:], "+-") {
		exponent = min(exponent*10+int64(digit-'0'), maxExponent)
	}
	if number[e+1] == '-' {
		exponent = -exponent
	}
	return number[:e], exponent
}

// power is that of ten which the digit at i of a mantissa counts.
func power(mantissa []byte, i int) int64 {
	point := bytes.IndexByte(mantissa, '.')
	if point < 0 {
		point = len(mantissa)
	}
	if i < point {
		return int64(point - i - 1)
	}
	return int64(point - i)
}

// maxWrittenExponent bounds the exponents in metadata. A few bytes would
// otherwise become megabytes in Postgres, whose numeric writes its zeros out.
const maxWrittenExponent = 400

// The decimal digits at which doubles end (IEEE 754, round to nearest, ties to
// even): from 2^1024 − 2^970 = 1.797…e308 on a number becomes infinity, and up
// to 2^-1075 = 2.470…e-324, which has the digits of 5^1075, zero.
var (
	infinityDigits = new(big.Int).Lsh(big.NewInt(1<<54-1), 970).String()
	zeroDigits     = new(big.Int).Exp(big.NewInt(5), big.NewInt(1075), nil).String()
)

// numberFault says why a number cannot be metadata, "" if it can: what a
// double does not hold, readers of the metadata would silently see as infinity
// or zero. The digits are compared as text, as converting the smallest of
// doubles takes a hundred times longer than reading them.
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
