package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestGCPercentFor(t *testing.T) {
	for live, want := range map[uint64]int{0: 800, 8 << 20: 800, 16 << 20: 400, 64 << 20: 100, 1 << 30: 100} {
		if got := gcPercentFor(live); got != want {
			t.Errorf("%d MiB live: GOGC=%d, want %d", live>>20, got, want)
		}
	}
}

func TestTuneGC_FollowsTheLiveHeap(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	tuned := func() int {
		runtime.GC()
		tuneGC()
		percent := debug.SetGCPercent(gcPercent)
		if percent != gcPercent {
			t.Errorf("GOGC is %d, not %d", percent, gcPercent)
		}
		return percent
	}
	if percent := tuned(); percent <= 100 {
		t.Errorf("GOGC=%d with a small heap", percent)
	}
	held := make([]byte, 2*gcHeadroom)
	if percent := tuned(); percent != 100 {
		t.Errorf("GOGC=%d with a large heap", percent)
	}
	runtime.KeepAlive(held)
	held = nil
	if percent := tuned(); percent <= 100 {
		t.Errorf("GOGC=%d after the heap has shrunk", percent)
	}
}
