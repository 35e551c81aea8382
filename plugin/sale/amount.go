package sale

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// maxAmount is 2^53−1, the largest integer up to which a double holds every one.
const maxAmount = 1<<53 - 1

const (
	notAnAmount    = "must be a non-negative integer"
	amountTooLarge = "must be at most 9007199254740991"
)

// amount reads a number with an integer value.
func (d *decoder) amount() (int64, error) {
	kind, err := d.kind()
	if err != nil {
		return 0, err
	}
	if kind != jsontext.KindNumber {
		return 0, invalid("amount", notAnAmount)
	}
	number, err := d.json.ReadValue()
	if err != nil {
		return 0, d.malformed(err)
	}
	amount, fault := parseAmount(number)
	if fault != "" {
		return 0, invalid("amount", fault)
	}
	return amount, nil
}

// parseAmount is the exact value of a JSON number, however it is written:
// 12900, 12900.0 and 1.29e4 are the same integer, -0 is 0. Only the digits
// between the first and the last that are not zero are ever multiplied.
func parseAmount(number []byte) (amount int64, fault string) {
	mantissa, exponent := cutExponent(number)
	first := bytes.IndexAny(mantissa, "123456789")
	if first < 0 {
		return 0, ""
	}
	last := bytes.LastIndexAny(mantissa, "123456789")
	if exponent += power(mantissa, last); exponent < 0 || number[0] == '-' {
		return 0, notAnAmount
	}
	for _, c := range mantissa[first : last+1] {
		if c == '.' {
			continue
		}
		if amount = 10*amount + int64(c-'0'); amount > maxAmount {
			return 0, amountTooLarge
		}
	}
	for ; exponent > 0; exponent-- {
		if amount *= 10; amount > maxAmount {
			return 0, amountTooLarge
		}
	}
	return amount, ""
}

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
