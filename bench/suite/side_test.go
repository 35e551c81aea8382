package suite

import (
	"context"
	"slices"
	"testing"
	"time"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/report"
)

// round returns a sample with a rate and the CPU time of edge and Postgres per request.
func round(rate int, edge, postgres time.Duration) sample {
	n := time.Duration(2 * rate)
	cpu := map[string]time.Duration{"edge": n * edge, "Postgres": n * postgres}
	return sample{outcome: outcome{requests: 2 * rate, seconds: 2, latency: load.Latency{P50: edge}}, cpu: cpu}
}

func TestRatio_ComparesWithinARound(t *testing.T) {
	// In the second round, the machine is ten times slower for both.
	a := &side{samples: []sample{round(4000, 10, 10), round(300, 10, 10), round(3000, 10, 10)}}
	b := &side{samples: []sample{round(2000, 10, 10), round(100, 10, 10), round(3000, 10, 10)}}
	if got, want := ratio(a, b, rate), (report.Figure{Value: 2, Low: 1, High: 3}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestCPUOf_NamedProcesses(t *testing.T) {
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

func TestLowest_OfAQuantity(t *testing.T) {
	fast := &side{name: "fast", samples: []sample{round(3000, 0, 300), round(100, 0, 100), round(3000, 0, 300)}}
	cheap := &side{name: "cheap", samples: []sample{round(2000, 0, 200), round(2000, 0, 200), round(2000, 0, 200)}}
	sides := []*side{fast, cheap}
	if got := fastest(sides); got != fast {
		t.Errorf("the fastest is %s", got.name)
	}
	if got := lowest(sides, cpuOf("Postgres")); got != cheap {
		t.Errorf("the cheapest is %s", got.name)
	}
}

func TestErrorSummary_MostFrequentFirst(t *testing.T) {
	const want = "; 7 × 500; 2 × 503; 2 × timeout"
	if got := errorSummary(map[string]int{"503": 2, "timeout": 2, "500": 7}); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTable_HasAColumnForEachProcess(t *testing.T) {
	s := round(1000, 150*time.Microsecond, 50*time.Microsecond)
	s.cpu[generator] = 2000 * 10 * time.Microsecond
	table := newTable("", "", []*side{{name: "edge", connections: 64, samples: []sample{s}}})
	want := []string{"side", "connections", "requests/s", "spread", "p50", "p99", "edge µs", "Postgres µs", "total µs",
		"generator µs"}
	if !slices.Equal(table.Head, want) {
		t.Errorf("head %q, want %q", table.Head, want)
	}
	row := []string{"edge", "64", "1000", "", "0.15 ms", "0.00 ms", "150.0", "50.0", "200.0", "10.0"}
	if !slices.Equal(table.Rows[0], row) {
		t.Errorf("row %q, want %q", table.Rows[0], row)
	}
}

// slowDriver gets no response unless the measured time is long enough.
type slowDriver struct {
	duration, needed int
	errors           map[string]int
}

func (d *slowDriver) check(context.Context) error { return nil }
func (d *slowDriver) extend()                     { d.duration *= 2 }

func (d *slowDriver) drive(_ context.Context, begin, end func() error) (outcome, error) {
	out := outcome{seconds: 1, errors: d.errors, client: generator}
	if d.duration >= d.needed {
		out.requests = 1
	}
	return out, nil
}

func TestMeasure_ExtendsARoundWithoutResponse(t *testing.T) {
	for _, tc := range []struct {
		name     string
		driver   slowDriver
		duration int
		fails    bool
	}{
		{"first attempt", slowDriver{duration: 1, needed: 1}, 1, false},
		{"third attempt", slowDriver{duration: 1, needed: 4}, 4, false},
		{"never", slowDriver{duration: 1, needed: 1 << 20}, 64, true},
		{"only errors", slowDriver{duration: 1, needed: 4, errors: map[string]int{"500": 1}}, 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &Bench{}
			_, err := b.measure(t.Context(), &side{driver: &tc.driver})
			if (err != nil) != tc.fails || tc.driver.duration != tc.duration {
				t.Errorf("duration %d, error %v; want %d, an error: %v", tc.driver.duration, err, tc.duration, tc.fails)
			}
		})
	}
}
