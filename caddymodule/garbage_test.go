package caddymodule

import (
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"
)

func TestGarbageMayGatherToSomeRoomOrToWhatIsLive(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 800}, {8 << 20, 800}, {16 << 20, 400}, {64 << 20, 100}, {1 << 30, 100},
	} {
		if got := gcPercent(c.live); got != c.want {
			t.Errorf("%d MiB live: GOGC=%d, want %d", c.live>>20, got, c.want)
		}
	}
}

func TestCollectorIsAdjustedToTheHeapThatItLeaves(t *testing.T) {
	before := debug.SetGCPercent(defaultGCPercent)
	defer debug.SetGCPercent(before)
	tendGarbageOnce = sync.Once{}
	var neighbours []*int64 // of the size of a tender, and longer-lived
	for i := range int64(1000) {
		neighbours = append(neighbours, &i)
		if i == 500 {
			tendGarbage()
		}
	}
	defer runtime.KeepAlive(neighbours)

	held := make([]byte, 2*garbageRoom)
	awaitGCPercent(t, func(percent int) bool { return percent == defaultGCPercent })
	runtime.KeepAlive(held)
	held = nil
	awaitGCPercent(t, func(percent int) bool { return percent > defaultGCPercent })
}

// awaitGCPercent collects until the collector is as it should be.
func awaitGCPercent(t *testing.T, ok func(int) bool) {
	t.Helper()
	for give := time.Now().Add(time.Minute); ; runtime.Gosched() {
		runtime.GC()
		percent := debug.SetGCPercent(defaultGCPercent)
		debug.SetGCPercent(percent)
		if ok(percent) {
			return
		}
		if time.Now().After(give) {
			t.Fatalf("GOGC stays %d", percent)
		}
	}
}
