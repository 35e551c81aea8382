package suite

import (
	"fmt"
	"slices"
	"time"
)

// Mode is how much is measured.
type Mode struct {
	Name            string
	Judged          bool // bars get a verdict
	Everything      bool // a suite that stands alone is one among others
	Customers       int
	rounds          int // of what a bar is judged on
	reported        int // rounds of what is only reported
	warmup, measure time.Duration
	brief           time.Duration // measured instead if only CPU a request is judged
	connections     []int         // of the sales
	few             []int         // further points of the plot
	clients         []int         // of pgbench
	keys            []int         // cached ones, of the memory
	scale           []int         // rows, of the scale
	benchtime       string
	packages        int // with benchmarks
}

// Full is what RESULTS.md is measured with.
var Full = Mode{
	Name: "full", Judged: true, Customers: 10_000, rounds: 5, reported: 3,
	warmup: 500 * time.Millisecond, measure: 2 * time.Second, brief: 1500 * time.Millisecond,
	connections: []int{64, 128, 256}, few: []int{1, 16}, clients: []int{16, 32, 64},
	keys: []int{10_000, 100_000}, scale: []int{1_000, 100_000, 10_000_000}, benchtime: "200ms", packages: 5,
}

// Quick takes three minutes.
var Quick = Mode{
	Name: "quick", Judged: true, Customers: 10_000, rounds: 1, reported: 1,
	warmup: 500 * time.Millisecond, measure: 1500 * time.Millisecond, brief: time.Second,
	connections: []int{64, 256}, few: []int{1}, clients: []int{32, 64},
	keys: []int{10_000, 100_000}, scale: []int{1_000, 100_000}, benchtime: "100ms", packages: 5,
}

// Smoke only shows that every suite runs.
var Smoke = Mode{
	Name: "smoke", Everything: true, Customers: 20, rounds: 1, reported: 1,
	warmup: 50 * time.Millisecond, measure: 150 * time.Millisecond, brief: 150 * time.Millisecond,
	connections: []int{2}, clients: []int{2},
	keys: []int{10, 100}, scale: []int{100}, benchtime: "1x", packages: 1,
}

func (m Mode) String() string {
	return fmt.Sprintf("%s run: medians of %d rounds (%d where nothing is judged), sides in turn, "+
		"%g s each (%g s where only CPU is judged) after %g s of warm-up",
		m.Name, m.rounds, m.reported, m.measure.Seconds(), m.brief.Seconds(), m.warmup.Seconds())
}

// most returns the most connections of the sales.
func (m Mode) most() int { return m.connections[len(m.connections)-1] }

// plotted returns the connections of the plot.
func (m Mode) plotted() []int {
	return slices.Sorted(slices.Values(slices.Concat(m.few, m.connections)))
}

// delayed returns the connections of the curves with delays.
func (m Mode) delayed() []int {
	return slices.Compact(append(slices.Clone(m.few[min(1, len(m.few)):]), m.connections[0], m.most()))
}
