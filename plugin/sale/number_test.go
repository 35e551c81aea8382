package sale

import (
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

var (
	halfBeyondLargest = infinityDigits[:1] + "." + infinityDigits[1:] + "e308"
	halfOfSmallest    = zeroDigits[:1] + "." + zeroDigits[1:] + "e-324"
)

func TestNumberBoundsAreThoseOfADouble(t *testing.T) {
	largest, smallest := strings.TrimSuffix(halfBeyondLargest, "e308"), strings.TrimSuffix(halfOfSmallest, "e-324")
	below := func(digits string) string { // neither ends in 0
		return digits[:len(digits)-1] + string(digits[len(digits)-1]-1)
	}
	for number, want := range map[string]bool{
		halfBeyondLargest: false, infinityDigits: false, infinityDigits + ".000": false, largest + "000e308": false, largest + "1e308": false,
		below(largest) + "e308": true, below(largest) + "999e308": true, below(infinityDigits) + ".9": true, "-" + below(largest) + "e308": true,
		halfOfSmallest: false, smallest + "000e-324": false, "-" + halfOfSmallest: false, below(smallest) + "9e-324": false,
		smallest + "1e-324": true, smallest + "0001e-324": true, "-" + smallest + "1e-324": true,
		"0." + strings.Repeat("0", 323) + zeroDigits: false, "0." + strings.Repeat("0", 323) + zeroDigits + "1": true, "0." + strings.Repeat("0", 322) + zeroDigits: true,
	} {
		if fault := numberFault([]byte(number)); (fault == "") != want {
			t.Errorf("%.60s… %q", number, fault)
		}
		if got := heldByDouble(number); got != want {
			t.Errorf("strconv holds %.60s…: %v", number, got)
		}
	}
}

// heldByDouble asks strconv whether a number is neither infinity nor, not being zero, zero.
func heldByDouble(number string) bool {
	double, err := strconv.ParseFloat(number, 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	return err == nil && (double != 0 || !strings.ContainsAny(mantissa, "123456789"))
}

// Comparing digits refuses exactly what strconv does.
func FuzzNumber(f *testing.F) {
	for _, number := range storableNumbers {
		f.Add(number)
	}
	for _, number := range []string{
		halfBeyondLargest, halfOfSmallest, infinityDigits, "1e309", "1e-325", "3e-324", "2e-324", "1.7976931348623158e308", "0.00247032822920623272088e-321",
	} {
		f.Add(number)
	}
	f.Fuzz(func(t *testing.T, number string) {
		if number == "" || strings.Trim(number, "+-.eE0123456789") != "" || !jsontext.Value(number).IsValid() {
			return
		}
		_, exponent := cutExponent([]byte(number))
		if want := max(exponent, -exponent) <= maxWrittenExponent && heldByDouble(number); (numberFault([]byte(number)) == "") != want {
			t.Errorf("%q %q, a double holds it: %v", number, numberFault([]byte(number)), want)
		}
	})
}
