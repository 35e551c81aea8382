package main

import (
	"runtime/debug"
	"runtime/metrics"
)

// garbageRoom is how much garbage, in bytes, gathers before a collection. An edge holds little and
// allocates much: with Go's default, as much garbage as there is live heap, a busy edge collects
// several times a second, which is a tenth of its CPU time. A fixed GOGC that avoids this wastes
// memory once the key cache has filled.
const garbageRoom = 64 << 20

// gcPercent is the GOGC in force.
var gcPercent = 100

// tuneGC adjusts GOGC to the live heap. It skips small changes, because each stops the world.
func tuneGC() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	percent := percentFor(live[0].Value.Uint64())
	if change := percent - gcPercent; change*change*100 > gcPercent*gcPercent {
		gcPercent = percent
		debug.SetGCPercent(percent)
	}
}

// percentFor returns the GOGC at which garbageRoom gathers over a live heap, at least Go's default.
func percentFor(live uint64) int {
	const leastHeap = 8 << 20 // Go derives the least heap that it collects from GOGC
	return int(max(garbageRoom*100/max(live, leastHeap), 100))
}
