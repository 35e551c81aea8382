package measure

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestMedianAndSpread(t *testing.T) {
	for _, c := range []struct {
		rounds                  []float64
		median, least, greatest float64
	}{
		{[]float64{3}, 3, 3, 3},
		{[]float64{4, 1}, 2.5, 1, 4},
		{[]float64{9, 1, 5}, 5, 1, 9},
		{[]float64{7, -2, 100, 3}, 5, -2, 100},
	} {
		given := slices.Clone(c.rounds)
		least, greatest := Spread(given)
		if median := Median(given); median != c.median || least != c.least || greatest != c.greatest {
			t.Errorf("%v: median %v, spread %v to %v", c.rounds, median, least, greatest)
		}
		if !slices.Equal(given, c.rounds) {
			t.Errorf("%v is now %v", c.rounds, given)
		}
	}
	if least, greatest := Spread(nil); !math.IsNaN(Median(nil)) || !math.IsNaN(least) || !math.IsNaN(greatest) {
		t.Error("no rounds have figures")
	}
}

func TestNameOfAProgramMayHoldAnything(t *testing.T) {
	s, err := parseStat("42 (a) b (c)) S 7 1 1 0 -1 4194304 101 0 0 0 1 2 300 4 20 0 1 0 1128019 3133440")
	if want := (stat{7, 304 * tick}); err != nil || s != want {
		t.Errorf("%+v, %v, want %+v", s, err, want)
	}
	for _, broken := range []string{"", "42 (a) S 7", "42 (a) S x 1 1 0 -1 4194304 101 0 0 0 1 2 300 4 20"} {
		if s, err := parseStat(broken); err == nil {
			t.Errorf("%q: %+v", broken, s)
		}
	}
}

func TestUsedSinceAndInAll(t *testing.T) {
	used := CPU{"edge": 5 * time.Second, "redis": time.Second}.Sub(CPU{"edge": 2 * time.Second})
	if used["edge"] != 3*time.Second || used["redis"] != time.Second || used.Total() != 4*time.Second {
		t.Error(used)
	}
}
