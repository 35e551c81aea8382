package main

import (
	"fmt"
	"slices"
	"time"
)

// mode is how much is measured.
type mode struct {
	name            string
	rounds          int // of what a bar is judged on
	reported        int // rounds of what is only reported
	warmup, measure time.Duration
	brief           time.Duration // measured instead where only CPU a request is judged
	connections     []int         // of the sales
	few             []int         // further points of the plot
	clients         []int         // of pgbench
	customers       int
	keys            []int // cached ones, of the memory
	scale           []int // rows, of the scale
	benchtime       string
	packages        int  // with benchmarks
	judged          bool // bars get a verdict
	everything      bool // the scale is a suite among others
}

var fullMode = mode{
	name: "full", rounds: 5, reported: 3, warmup: 500 * time.Millisecond, measure: 2 * time.Second, brief: 1500 * time.Millisecond,
	connections: []int{64, 128, 256}, few: []int{1, 16}, clients: []int{16, 32, 64},
	customers: 10_000, keys: []int{10_000, 100_000}, scale: []int{1_000, 100_000, 10_000_000}, benchtime: "200ms", packages: 4, judged: true,
}

var quickMode = mode{
	name: "quick", rounds: 1, reported: 1, warmup: 500 * time.Millisecond, measure: 1500 * time.Millisecond, brief: time.Second,
	connections: []int{64, 256}, few: []int{1}, clients: []int{32, 64},
	customers: 10_000, keys: []int{10_000, 100_000}, scale: []int{1_000, 100_000}, benchtime: "100ms", packages: 4, judged: true,
}

var smokeMode = mode{
	name: "smoke", rounds: 1, reported: 1, warmup: 50 * time.Millisecond, measure: 150 * time.Millisecond, brief: 150 * time.Millisecond,
	connections: []int{2}, clients: []int{2},
	customers: 20, keys: []int{10, 100}, scale: []int{100}, benchtime: "1x", packages: 1, everything: true,
}

func (m mode) describe() string {
	return fmt.Sprintf("%s run: medians of %d rounds (%d where nothing is judged), sides in turn, %g s each (%g s where only CPU is judged) after %g s of warm-up",
		m.name, m.rounds, m.reported, m.measure.Seconds(), m.brief.Seconds(), m.warmup.Seconds())
}

// plotted are the connections of the plot.
func (m mode) plotted() []int {
	return slices.Sorted(slices.Values(slices.Concat(m.few, m.connections)))
}

// delayed are the connections of the curves with delays.
func (m mode) delayed() []int {
	return slices.Compact(append(slices.Clone(m.few[min(1, len(m.few)):]), m.connections[0], m.connections[len(m.connections)-1]))
}
