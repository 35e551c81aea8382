package suite

import (
	"context"
	"slices"
	"testing"
	"time"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/report"
)

// round is a sample of that rate, whose edge and Postgres have used so much CPU a request.
func round(rate int, edge, postgres time.Duration) sample {
	return sample{outcome: outcome{requests: 2 * rate, seconds: 2, latency: load.Latency{P50: edge}}, cpu: map[string]time.Duration{
		"edge": time.Duration(2*rate) * edge, "Postgres": time.Duration(2*rate) * postgres,
	}}
}

func TestRatiosAreThoseOfTheSameRound(t *testing.T) {
	// A noisy machine: the second round is ten times slower for both.
	one := &side{samples: []sample{round(4000, 10, 10), round(300, 10, 10), round(3000, 10, 10)}}
	other := &side{samples: []sample{round(2000, 10, 10), round(100, 10, 10), round(3000, 10, 10)}}
	if got, want := ratio(one, other, rate), (report.Figure{Value: 2, Low: 1, High: 3}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestCPUIsThatOfTheNamedProcessesARequest(t *testing.T) {
	s := round(1000, 150*time.Microsecond, 50*time.Microsecond)
	for _, tc := range []struct {
		names []string
		want  float64
	}{{[]string{"edge"}, 150}, {[]string{"edge", "Postgres"}, 200}, {[]string{"Redis"}, 0}} {
		if got := cpuOf(tc.names...)(s); got != tc.want {
			t.Errorf("%v: %v µs, want %v", tc.names, got, tc.want)
		}
	}
}

func TestTheBestSideIsThatOfTheQuantity(t *testing.T) {
	fast := &side{name: "fast", samples: []sample{round(3000, 0, 300), round(100, 0, 100), round(3000, 0, 300)}}
	cheap := &side{name: "cheap", samples: []sample{round(2000, 0, 200), round(2000, 0, 200), round(2000, 0, 200)}}
	sides := []*side{fast, cheap}
	if got := fastest(sides); got != fast {
		t.Errorf("the fastest is %s", got.name)
	}
	if got := best(sides, cpuOf("Postgres")); got != cheap {
		t.Errorf("the cheapest is %s", got.name)
	}
}

func TestErrorsAreNamedTheMostFrequentFirst(t *testing.T) {
	if got, want := complaints(map[string]int{"503": 2, "timeout": 2, "500": 7}), "; 7 × 500; 2 × 503; 2 × timeout"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestATableHasAColumnForEachProcessThatTookPart(t *testing.T) {
	s := round(1000, 150*time.Microsecond, 50*time.Microsecond)
	s.cpu[generator] = 2000 * 10 * time.Microsecond
	table := tableOf("", "", []*side{{name: "edge", connections: 64, samples: []sample{s}}})
	want := []string{"", "connections", "a second", "spread", "p50", "p99", "edge µs", "Postgres µs", "generator µs", "CPU µs without generator"}
	if !slices.Equal(table.Head, want) {
		t.Errorf("head %q, want %q", table.Head, want)
	}
	row := []string{"edge", "64", "1000", "", "0.15 ms", "0.00 ms", "150.0", "50.0", "10.0", "200.0"}
	if !slices.Equal(table.Rows[0], row) {
		t.Errorf("row %q, want %q", table.Rows[0], row)
	}
}

// slow answers nothing until it is given enough time.
type slow struct {
	length, needs int
	failures      map[string]int
}

func (s *slow) try(context.Context) error { return nil }
func (s *slow) longer()                   { s.length *= 2 }

func (s *slow) drive(_ context.Context, begin, end func() error) (outcome, error) {
	out := outcome{seconds: 1, errors: s.failures, client: generator}
	if s.length >= s.needs {
		out.requests = 1
	}
	return out, nil
}

func TestARoundThatAnsweredNothingIsMeasuredLonger(t *testing.T) {
	for _, tc := range []struct {
		name   string
		driver slow
		length int
		fails  bool
	}{
		{"at once", slow{length: 1, needs: 1}, 1, false},
		{"at the third attempt", slow{length: 1, needs: 4}, 4, false},
		{"never", slow{length: 1, needs: 1 << 20}, 64, true},
		{"with errors only", slow{length: 1, needs: 4, failures: map[string]int{"500": 1}}, 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &Bench{}
			_, err := b.measureSome(t.Context(), &side{driver: &tc.driver})
			if (err != nil) != tc.fails || tc.driver.length != tc.length {
				t.Errorf("length %d, %v; want %d, an error %v", tc.driver.length, err, tc.length, tc.fails)
			}
		})
	}
}
