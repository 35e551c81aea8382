package load

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Latency summarizes a distribution of durations; quantiles are exact to 1 %.
type Latency struct {
	Count                          int
	P50, P90, P99, P999, Max, Mean time.Duration
}

const (
	subBuckets = 128     // per power of two
	longest    = 1 << 40 // ns, 18 minutes; longer durations count as this
	buckets    = (40-8)*subBuckets + 2*subBuckets
)

// Histogram counts durations in log-linear buckets: exact below 256 ns, in steps of less than 1 %
// above, up to 18 minutes. The zero value is empty. It is safe for concurrent use.
type Histogram struct {
	counts         [buckets]atomic.Uint32
	total, longest atomic.Int64
}

// Record counts d. Negative durations count as zero.
func (h *Histogram) Record(d time.Duration) {
	ns := int64(min(max(d, 0), longest-1))
	h.counts[bucket(uint64(ns))].Add(1)
	h.total.Add(ns)
	for seen := h.longest.Load(); ns > seen && !h.longest.CompareAndSwap(seen, ns); seen = h.longest.Load() {
	}
}

func bucket(ns uint64) int {
	if ns < 2*subBuckets {
		return int(ns)
	}
	shift := bits.Len64(ns) - 8
	return shift*subBuckets + int(ns>>shift)
}

// ceiling returns the longest duration in bucket b, in ns.
func ceiling(b int) int64 {
	if b < 2*subBuckets {
		return int64(b)
	}
	shift := b/subBuckets - 1
	return int64(b-shift*subBuckets+1)<<shift - 1
}

// Latency returns the summary of the recorded durations.
func (h *Histogram) Latency() Latency {
	l := Latency{Max: time.Duration(h.longest.Load())}
	for b := range h.counts {
		l.Count += int(h.counts[b].Load())
	}
	if l.Count == 0 {
		return l
	}
	l.Mean = time.Duration(h.total.Load() / int64(l.Count))
	l.P50, l.P90, l.P99, l.P999 = h.quantile(l, 0.5), h.quantile(l, 0.9), h.quantile(l, 0.99), h.quantile(l, 0.999)
	return l
}

// quantile returns a duration that the fraction q of all durations does not exceed.
func (h *Histogram) quantile(l Latency, q float64) time.Duration {
	seen := 0
	for b := range h.counts {
		seen += int(h.counts[b].Load())
		if float64(seen) >= q*float64(l.Count) {
			return min(time.Duration(ceiling(b)), l.Max)
		}
	}
	return l.Max
}
