package harness

import (
	"slices"
	"testing"
	"time"
)

// Latencies are measured durations.
type Latencies []time.Duration

// Target is the maximum that latencies may reach.
type Target struct{ P99, Max time.Duration }

// Add appends durations.
func (f *Latencies) Add(more ...time.Duration) { *f = append(*f, more...) }

// Percentile returns the p-th percentile by the nearest-rank method. f must not be empty.
func (f Latencies) Percentile(p int) time.Duration {
	return slices.Sorted(slices.Values(f))[(len(f)*p+99)/100-1]
}

// Report prints the latencies and fails the test if they exceed target. The machine must be idle.
func (f Latencies) Report(t *testing.T, what string, target Target) {
	t.Helper()
	f.Print(t, what)
	if len(f) > 0 && (f.Percentile(99) > target.P99 || f.Percentile(100) > target.Max) {
		t.Errorf("%s: want at most p99 %s, max %s", what, target.P99, target.Max)
	}
}

// Print logs the median, the 99th percentile and the maximum.
func (f Latencies) Print(t *testing.T, what string) {
	t.Helper()
	if len(f) == 0 {
		return
	}
	t.Logf("%s, n=%d: p50 %s, p99 %s, max %s", what, len(f), f.Percentile(50), f.Percentile(99), f.Percentile(100))
}
