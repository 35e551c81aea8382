package sale

import (
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// What parseAmount says is what exact arithmetic says.
func FuzzAmount(f *testing.F) {
	for _, number := range []string{"0", "-0", "12900", "12900.0", "1.29e4", "-1", "0.5", "1e16", "9007199254740991", "9007199254740992", "90071992547409910e-1", "1e999999999", "0.00001e5", "1e-0"} {
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
			return // exact arithmetic would write its zeros out
		}
		exact, ok := new(big.Rat).SetString(number)
		if !ok {
			t.Fatalf("big.Rat does not read %q", number)
		}
		whole := exact.IsInt() && exact.Sign() >= 0
		switch {
		case fault == "" && (!whole || exact.Num().Cmp(big.NewInt(amount)) != 0):
			t.Errorf("%q is taken as %d", number, amount)
		case fault == notAnAmount && whole, fault == amountTooLarge && (exact.Sign() < 0 || exact.Cmp(big.NewRat(maxAmount, 1)) <= 0):
			t.Errorf("%q %s", number, fault)
		}
	})
}
