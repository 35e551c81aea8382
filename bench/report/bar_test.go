package report

import (
	"math"
	"slices"
	"testing"
)

func TestAFigureIsHeldAgainstItsBar(t *testing.T) {
	for _, tc := range []struct {
		value     float64
		must, may Bound
		verdict   string
		hope      string
	}{
		{2, AtLeast(2), AtLeast(4), "ok", "≥ 4.00×"},
		{1.99, AtLeast(2), AtLeast(4), "short", "≥ 4.00×"},
		{4, AtLeast(2), AtLeast(4), "ok", "≥ 4.00× ✓"},
		{0.4, AtMost(0.4), AtMost(0.25), "ok", "≤ 0.25×"},
		{0.41, AtMost(0.4), AtMost(0.25), "short", "≤ 0.25×"},
		{0.2, AtMost(0.4), AtMost(0.25), "ok", "≤ 0.25× ✓"},
		{0.5, Bound{}, AtLeast(1), "reported", "≥ 1.00×"},
		{1, Bound{}, Bound{}, "reported", ""},
		{0, AtMost(0), Bound{}, "ok", ""},
	} {
		b := Bar{"", Figure{tc.value, tc.value - 100, tc.value + 100}, Times, tc.must, tc.may}
		if got := b.verdict(); got != tc.verdict {
			t.Errorf("%v against %s: %s, want %s", tc.value, tc.must.in(Times), got, tc.verdict)
		}
		if got := b.hope(); got != tc.hope {
			t.Errorf("hope of %v: %q, want %q", tc.value, got, tc.hope)
		}
	}
}

func TestWhatIsNoNumberIsShort(t *testing.T) {
	for _, must := range []Bound{AtLeast(2), AtMost(2)} {
		if got := (Bar{Figure: FigureOf(nil), Must: must}).verdict(); got != "short" {
			t.Errorf("no rounds at all, against %s: %s", must.in(Times), got)
		}
	}
}

func TestUnitsReadAsTheyAreMeant(t *testing.T) {
	f := Figure{0.3, -0.25, 0.5}
	for _, tc := range []struct {
		unit          Unit
		shown, spread string
	}{
		{Times, "0.30×", "-0.25× – 0.50×"},
		{Added, "+0.30 ms", "-0.25 ms – +0.50 ms"},
		{Megabytes, "0.3 MB", "-0.2 MB – 0.5 MB"},
	} {
		if got := tc.unit.Show(f.Value); got != tc.shown {
			t.Errorf("%s: %q, want %q", tc.unit, got, tc.shown)
		}
		if got := tc.unit.Spread(f); got != tc.spread {
			t.Errorf("%s: %q, want %q", tc.unit, got, tc.spread)
		}
	}
	if got := Times.Spread(Figure{1, 1, 1}); got != "" {
		t.Errorf("one round has a spread: %q", got)
	}
}

func TestMedianAndSpread(t *testing.T) {
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
			t.Errorf("%v is now %v", c.rounds, given)
		}
	}
	if f := FigureOf(nil); !math.IsNaN(f.Value) || !math.IsNaN(f.Low) || !math.IsNaN(f.High) {
		t.Errorf("no rounds have a figure: %+v", f)
	}
}
