package sale

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// maxAmount is 2^53−1: a double holds every integer up to it.
const maxAmount = 1<<53 - 1

const (
	notAnAmount    = "must be a non-negative integer"
	amountTooLarge = "must be at most 9007199254740991"
)

// amount reads a number with an integer value, 0 to maxAmount.
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

// parseAmount returns the exact value of a JSON number, or why it is not an amount. 12900, 12900.0
// and 1.29e4 are the same integer, and -0 is 0. It converts only the digits from the first to the
// last nonzero one.
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

// maxExponent is the largest exponent that cutExponent returns. Bodies are too short to offset it.
const maxExponent = 1 << 40

// cutExponent splits the text of a JSON number into mantissa and exponent: 0 if there is none, and
// at most ±maxExponent. It never expands a number such as 1e999999999.
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

// power returns the power of ten of the digit at index i of a mantissa.
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
