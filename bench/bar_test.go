package main

import "testing"

func TestAFigureIsHeldAgainstItsBar(t *testing.T) {
	for _, tc := range []struct {
		value     float64
		must, may bound
		verdict   string
		hope      string
	}{
		{2, atLeast(2), atLeast(4), "ok", "≥ 4.00×"},
		{1.99, atLeast(2), atLeast(4), "short", "≥ 4.00×"},
		{4, atLeast(2), atLeast(4), "ok", "≥ 4.00× ✓"},
		{0.4, atMost(0.4), atMost(0.25), "ok", "≤ 0.25×"},
		{0.41, atMost(0.4), atMost(0.25), "short", "≤ 0.25×"},
		{0.2, atMost(0.4), atMost(0.25), "ok", "≤ 0.25× ✓"},
		{0.5, none, atLeast(1), "reported", "≥ 1.00×"},
		{1, none, none, "reported", ""},
		{0, atMost(0), none, "ok", ""},
	} {
		b := bar{"", figure{tc.value, tc.value - 100, tc.value + 100}, times, tc.must, tc.may}
		if got := b.verdict(); got != tc.verdict {
			t.Errorf("%v against %s: %s, want %s", tc.value, tc.must.in(times), got, tc.verdict)
		}
		if got := b.hope(); got != tc.hope {
			t.Errorf("hope of %v: %q, want %q", tc.value, got, tc.hope)
		}
	}
}

func TestWhatIsNoNumberIsShort(t *testing.T) {
	for _, must := range []bound{atLeast(2), atMost(2)} {
		if got := (bar{figure: figureOf(nil), must: must}).verdict(); got != "short" {
			t.Errorf("no rounds at all, against %s: %s", must.in(times), got)
		}
	}
}

func TestUnitsReadAsTheyAreMeant(t *testing.T) {
	f := figure{0.3, -0.25, 0.5}
	for _, tc := range []struct {
		unit          unit
		shown, spread string
	}{
		{times, "0.30×", "-0.25× – 0.50×"},
		{added, "+0.30 ms", "-0.25 ms – +0.50 ms"},
		{megabyte, "0.3 MB", "-0.2 MB – 0.5 MB"},
	} {
		if got := tc.unit.show(f.value); got != tc.shown {
			t.Errorf("%s: %q, want %q", tc.unit, got, tc.shown)
		}
		if got := tc.unit.spread(f); got != tc.spread {
			t.Errorf("%s: %q, want %q", tc.unit, got, tc.spread)
		}
	}
	if got := times.spread(figure{1, 1, 1}); got != "" {
		t.Errorf("one round has a spread: %q", got)
	}
}
