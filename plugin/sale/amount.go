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
