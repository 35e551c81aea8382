package report

import (
	"fmt"
	"math"
	"slices"
)

// Figure is a median over rounds, and the least and the greatest of them.
type Figure struct{ Value, Low, High float64 }

// FigureOf returns the figure of these rounds; not numbers if there is none.
func FigureOf(rounds []float64) Figure {
	n := len(rounds)
	if n == 0 {
		return Figure{math.NaN(), math.NaN(), math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(rounds))
	return Figure{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}
}

// Unit says how a number is shown.
type Unit string

const (
	Times     Unit = "%.2f×"
	Added     Unit = "%+.2f ms"
	Nanos     Unit = "%.0f ns"
	Micros    Unit = "%.1f"
	Count     Unit = "%.0f"
	Share     Unit = "%.2f"
	Megabytes Unit = "%.1f MB"
	Millis    Unit = "%.2f ms"
)

// Show returns v as text.
func (u Unit) Show(v float64) string { return fmt.Sprintf(string(u), v) }

// ShowPositive returns v as text, empty if that reads as zero.
func (u Unit) ShowPositive(v float64) string {
	if text := u.Show(v); text != u.Show(0) {
		return text
	}
	return ""
}

// Spread returns the least and the greatest of all rounds as text, empty for one round.
func (u Unit) Spread(f Figure) string {
	if f.Low == f.High {
		return ""
	}
	return u.Show(f.Low) + " – " + u.Show(f.High)
}
