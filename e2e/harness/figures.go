package harness

import (
	"slices"
	"testing"
	"time"
)

// Figures are durations of which only few are to be long.
type Figures []time.Duration

// Bar is what figures must not exceed.
type Bar struct{ P99, Max time.Duration }

// Add adds more.
func (f *Figures) Add(more ...time.Duration) { *f = append(*f, more...) }

// Percentile is the least that p per cent of them do not exceed.
func (f Figures) Percentile(p int) time.Duration {
	return slices.Sorted(slices.Values(f))[(len(f)*p+99)/100-1]
}

// Report prints them, and holds them to the bar. It is not for a machine that has other work.
func (f Figures) Report(t *testing.T, what string, b Bar) {
	t.Helper()
	f.Print(t, what)
	if len(f) > 0 && (f.Percentile(99) > b.P99 || f.Percentile(100) > b.Max) {
		t.Errorf("%s: want at most p99 %s, max %s", what, b.P99, b.Max)
	}
}

// Print prints the median, the 99th percentile and the longest.
func (f Figures) Print(t *testing.T, what string) {
	t.Helper()
	if len(f) == 0 {
		return
	}
	t.Logf("%s, %d times: p50 %s, p99 %s, max %s", what, len(f), f.Percentile(50), f.Percentile(99), f.Percentile(100))
}
