package main

import (
	"runtime/debug"
	"runtime/metrics"
)

// gcHeadroom is how many bytes, at least, are allocated between two garbage collections. An edge
// has a small live heap and allocates much. With Go's default, GOGC=100, a busy edge collects
// several times a second, which is a tenth of its CPU time. A higher fixed GOGC wastes memory once
// the key cache is full.
const gcHeadroom = 64 << 20

var gcPercent = 100 // the current GOGC

// tuneGC sets GOGC for the current live heap. It skips small changes, because each stops the world.
func tuneGC() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	percent := gcPercentFor(live[0].Value.Uint64())
	if change := percent - gcPercent; change*change*100 > gcPercent*gcPercent {
		gcPercent = percent
		debug.SetGCPercent(percent)
	}
}

// gcPercentFor returns the GOGC that allows gcHeadroom over a live heap, but at least 100.
func gcPercentFor(live uint64) int {
	const minHeap = 8 << 20 // bounds GOGC, from which Go derives its minimum heap size
	return int(max(gcHeadroom*100/max(live, minHeap), 100))
}
