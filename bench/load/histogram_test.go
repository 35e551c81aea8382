package load

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestHistogram_BucketsAreWithinOnePercent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	check := func(ns uint64) {
		if top := uint64(ceiling(bucket(ns))); top < ns || top-ns > ns/100 {
			t.Errorf("%d ns count as %d", ns, top)
		}
	}
	for ns := range uint64(5000) {
		check(ns)
	}
	for range 100_000 {
		check(random.Uint64N(longest) >> random.IntN(40))
	}
	check(longest - 1)
	if b := bucket(longest - 1); b != buckets-1 {
		t.Errorf("%d buckets, the last used is %d", buckets, b)
	}
}

func TestHistogram_Quantiles(t *testing.T) {
	var h Histogram
	for i := range 1000 {
		h.Record(time.Duration(1000-i) * time.Millisecond)
	}
	l := h.Latency()
	if l.Count != 1000 || l.Max != time.Second || l.Mean != 500500*time.Microsecond {
		t.Errorf("%+v", l)
	}
	for _, q := range []struct{ got, want time.Duration }{{l.P50, 500}, {l.P90, 900}, {l.P99, 990}, {l.P999, 999}} {
		if want := q.want * time.Millisecond; q.got < want || q.got > want+want/100 {
			t.Errorf("%v, want %v", q.got, want)
		}
	}
}

func TestHistogram_OutOfRange(t *testing.T) {
	var h Histogram
	h.Record(-time.Second)
	h.Record(24 * time.Hour)
	if l := h.Latency(); l.Count != 2 || l.P50 != 0 || l.Max != longest-1 {
		t.Errorf("%+v", l)
	}
	if l := new(Histogram).Latency(); l != (Latency{}) {
		t.Errorf("nothing recorded: %+v", l)
	}
}
