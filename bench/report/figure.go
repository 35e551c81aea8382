package report

import (
	"fmt"
	"math"
	"slices"
)

// Figure is the median of the rounds (Value), with the lowest and the highest round.
type Figure struct{ Value, Low, High float64 }

// FigureOf returns the figure of the given rounds, or NaN for all three values if there are none.
func FigureOf(rounds []float64) Figure {
	n := len(rounds)
	if n == 0 {
		return Figure{math.NaN(), math.NaN(), math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(rounds))
	return Figure{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}
}

// Unit is the format of a number with its unit. Values are in that unit.
type Unit string

const (
	Times       Unit = "%.2f×"    // a ratio
	AddedMillis Unit = "%+.2f ms" // a difference
	Nanos       Unit = "%.0f ns"  // per operation
	Micros      Unit = "%.1f"     // in columns whose head names the unit
	Count       Unit = "%.0f"
	Fraction    Unit = "%.2f"
	Megabytes   Unit = "%.1f MB" // 1,000,000 bytes
	Millis      Unit = "%.2f ms"
)

// Format returns v as text.
func (u Unit) Format(v float64) string { return fmt.Sprintf(string(u), v) }

// FormatNonzero returns v as text, or an empty string if v rounds to zero.
func (u Unit) FormatNonzero(v float64) string {
	if text := u.Format(v); text != u.Format(0) {
		return text
	}
	return ""
}

// Spread returns the lowest and the highest round as text, or an empty string if they are equal.
func (u Unit) Spread(f Figure) string {
	if f.Low == f.High {
		return ""
	}
	return u.Format(f.Low) + " – " + u.Format(f.High)
}
