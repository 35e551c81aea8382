package caddymodule

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// garbageRoom is how much garbage, in bytes, may gather before it is collected.
// An edge holds little and allocates much: with Go's default, as much garbage
// as there is live heap, a busy one would collect several times a second, which
// is a tenth of its CPU time.
const garbageRoom = 64 << 20

const (
	// defaultGCPercent is Go's: never less garbage than live heap.
	defaultGCPercent = 100
	// leastHeap keeps the percentage of a tiny heap, from which Go also derives the least heap it collects, in bounds.
	leastHeap = 8 << 20
)

var tendGarbageOnce sync.Once

// tendGarbage lets garbageRoom gather from now on, for the life of the process.
// GOGC, where it is set, and GOMEMLIMIT have their way.
func tendGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	tendGarbageOnce.Do(func() {
		percent := gcPercent(liveHeap())
		debug.SetGCPercent(percent)
		afterCollection(&garbageTender{percent: percent})
	})
}

// garbageTender adjusts the collector after each collection. It runs in the
// runtime's goroutine for finalizers.
type garbageTender struct {
	percent int
	// A tiny object without a pointer may share its block with others, and lives as long as they do.
	_ *byte
}

// afterCollection has t look at the heap once the next collection is done: a
// finalizer is run by it.
func afterCollection(t *garbageTender) {
	runtime.SetFinalizer(t, func(t *garbageTender) {
		t.adjust(liveHeap())
		afterCollection(t)
	})
}

// adjust spares the runtime, which it stops, small changes.
func (t *garbageTender) adjust(live uint64) {
	percent := gcPercent(live)
	if change := percent - t.percent; change*change*100 <= t.percent*t.percent {
		return
	}
	t.percent = percent
	debug.SetGCPercent(percent)
}

// gcPercent is the GOGC at which garbageRoom may gather over a live heap.
func gcPercent(live uint64) int {
	return int(max(garbageRoom*100/max(live, leastHeap), defaultGCPercent))
}

// liveHeap is what the last collection left, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
