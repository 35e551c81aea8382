package sale

import (
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestAmount_IsExact(t *testing.T) {
	zeros := strings.Repeat("0", 30_000)
	for _, c := range []struct {
		raw  string
		want int64
	}{
		{"0", 0}, {"-0", 0}, {"0.0", 0}, {"-0.000", 0}, {"0e5", 0}, {"0E-5", 0}, {"-0e0", 0}, {"0e999999999", 0},
		{"0e-999999999", 0}, {"0.0e99999999999999999999", 0}, {"1", 1}, {"12900", 12900}, {"12900.0", 12900},
		{"1.29e4", 12900}, {"1.29E+4", 12900}, {"129e2", 12900}, {"129000e-1", 12900},
		{"12900.000000000000000000000000", 12900}, {"0.0129e6", 12900}, {"1290000e-2", 12900}, {"1.29e004", 12900},
		{"1.29e0000000000000000000000004", 12900}, {"10e-1", 1}, {"10.0", 10}, {"10.0e-1", 1}, {"100.10e1", 1001},
		{"1e15", 1_000_000_000_000_000}, {"0.1e1", 1}, {"9007199254740991", maxAmount},
		{"9007199254740991.0", maxAmount}, {"9007199254740991e0", maxAmount}, {"9.007199254740991e15", maxAmount},
		{"90071992547409910e-1", maxAmount}, {"9007199254740990", maxAmount - 1}, {"9e15", 9_000_000_000_000_000},
		{"0." + zeros + "1e30001", 1}, {"1" + zeros + "e-30000", 1}, {"12900." + zeros, 12900},
		{"1e" + zeros + "3", 1000}, {"0e" + zeros, 0},
	} {
		if got := mustDecode(t, with("amount", c.raw)).Amount; got != c.want {
			t.Errorf("%.40s is %d, want %d", c.raw, got, c.want)
		}
	}
}

func TestAmount_RejectsAllButIntegers(t *testing.T) {
	nines := strings.Repeat("9", 60_000)
	for _, raw := range []string{
		"-1", "-100", "-0.1", "-1e-400", "-9007199254740992", "-1e999999999", "0.5", "12900.5", "1e-1", "1e-999999999",
		"129e-1", "1.5e0", "0." + nines, nines + "e-1", "9007199254740991.5", "9007199254740990.9999999999999999999999",
		"0.1e-99999999999999999999", "10e-18446744073709551615", "1.29e1", `"12900"`, `""`, "null", "true", "false",
		"[]", "[1]", "{}", `{"value":1}`,
	} {
		mustReject(t, with("amount", raw), "amount: must be a non-negative integer")
	}
	for _, raw := range []string{
		"9007199254740992", "9007199254740992.0", "9007199254740993", "9.007199254740992e15", "1e16", "1e400",
		"1e999999999", "1e99999999999999999999", "1e18446744073709551616",
		"9223372036854775808", "18446744073709551616", "18446744073709551617", "1.5e308", nines, "9" + nines + ".0",
	} {
		mustReject(t, with("amount", raw), "amount: must be at most 9007199254740991")
	}
}

// FuzzAmount compares parseAmount with exact arithmetic.
func FuzzAmount(f *testing.F) {
	for _, number := range []string{"0", "-0", "12900", "12900.0", "1.29e4", "-1", "0.5", "1e16", "9007199254740991",
		"9007199254740992", "90071992547409910e-1", "1e999999999", "0.00001e5", "1e-0"} {
		f.Add(number)
	}
	f.Fuzz(func(t *testing.T, number string) {
		if strings.Trim(number, "+-.eE0123456789") != "" || !jsontext.Value(number).IsValid() {
			return
		}
		amount, fault := parseAmount([]byte(number))
		if amount < 0 || amount > maxAmount {
			t.Fatalf("%q is %d", number, amount)
		}
		if _, exponent := cutExponent([]byte(number)); max(exponent, -exponent) > 1000 {
			return // big.Rat would expand its zeros
		}
		exact, ok := new(big.Rat).SetString(number)
		if !ok {
			t.Fatalf("big.Rat rejects %q", number)
		}
		whole := exact.IsInt() && exact.Sign() >= 0
		switch {
		case fault == "" && (!whole || exact.Num().Cmp(big.NewInt(amount)) != 0):
			t.Errorf("%q is read as %d", number, amount)
		case fault == notAnAmount && whole,
			fault == amountTooLarge && (exact.Sign() < 0 || exact.Cmp(big.NewRat(maxAmount, 1)) <= 0):
			t.Errorf("%q %s", number, fault)
		}
	})
}
