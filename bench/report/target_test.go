package report

import (
	"math"
	"slices"
	"testing"
)

func TestTarget_Verdict(t *testing.T) {
	for _, tc := range []struct {
		value          float64
		required, goal Bound
		verdict        string
		goalText       string
	}{
		{2, AtLeast(2), AtLeast(4), "met", "≥ 4.00×"},
		{1.99, AtLeast(2), AtLeast(4), "missed", "≥ 4.00×"},
		{4, AtLeast(2), AtLeast(4), "met", "≥ 4.00× ✓"},
		{0.4, AtMost(0.4), AtMost(0.25), "met", "≤ 0.25×"},
		{0.41, AtMost(0.4), AtMost(0.25), "missed", "≤ 0.25×"},
		{0.2, AtMost(0.4), AtMost(0.25), "met", "≤ 0.25× ✓"},
		{0.5, Bound{}, AtLeast(1), "reported", "≥ 1.00×"},
		{1, Bound{}, Bound{}, "reported", ""},
		{0, AtMost(0), Bound{}, "met", ""},
	} {
		target := Target{"", Figure{tc.value, tc.value - 100, tc.value + 100}, Times, tc.required, tc.goal}
		if got := target.verdict(); got != tc.verdict {
			t.Errorf("%v with %s required: %s, want %s", tc.value, tc.required.format(Times), got, tc.verdict)
		}
		if got := target.goal(); got != tc.goalText {
			t.Errorf("goal of %v: %q, want %q", tc.value, got, tc.goalText)
		}
	}
}

func TestTarget_NotANumberIsMissed(t *testing.T) {
	for _, required := range []Bound{AtLeast(2), AtMost(2)} {
		if got := (Target{Figure: FigureOf(nil), Required: required}).verdict(); got != "missed" {
			t.Errorf("no rounds with %s required: %s", required.format(Times), got)
		}
	}
}

func TestUnit_Format(t *testing.T) {
	f := Figure{0.3, -0.25, 0.5}
	for _, tc := range []struct {
		unit         Unit
		text, spread string
	}{
		{Times, "0.30×", "-0.25× – 0.50×"},
		{AddedMillis, "+0.30 ms", "-0.25 ms – +0.50 ms"},
		{Megabytes, "0.3 MB", "-0.2 MB – 0.5 MB"},
	} {
		if got := tc.unit.Format(f.Value); got != tc.text {
			t.Errorf("%s: %q, want %q", tc.unit, got, tc.text)
		}
		if got := tc.unit.Spread(f); got != tc.spread {
			t.Errorf("%s: spread %q, want %q", tc.unit, got, tc.spread)
		}
	}
	if got := Times.Spread(Figure{1, 1, 1}); got != "" {
		t.Errorf("spread of one round: %q, want none", got)
	}
}

func TestFigureOf_MedianAndExtremes(t *testing.T) {
	for _, c := range []struct {
		rounds []float64
		want   Figure
	}{
		{[]float64{3}, Figure{3, 3, 3}},
		{[]float64{4, 1}, Figure{2.5, 1, 4}},
		{[]float64{9, 1, 5}, Figure{5, 1, 9}},
		{[]float64{7, -2, 100, 3}, Figure{5, -2, 100}},
	} {
		given := slices.Clone(c.rounds)
		if got := FigureOf(given); got != c.want {
			t.Errorf("%v: %+v, want %+v", given, got, c.want)
		}
		if !slices.Equal(given, c.rounds) {
			t.Errorf("FigureOf has changed its argument %v to %v", c.rounds, given)
		}
	}
	if f := FigureOf(nil); !math.IsNaN(f.Value) || !math.IsNaN(f.Low) || !math.IsNaN(f.High) {
		t.Errorf("no rounds: %+v, want NaN", f)
	}
}
