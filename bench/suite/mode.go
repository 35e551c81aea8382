package suite

import (
	"fmt"
	"slices"
	"time"
)

// Mode says how much a run measures.
type Mode struct {
	Name            string
	Judged          bool // targets get a verdict
	AllSuites       bool // includes suites that otherwise run only on request
	Customers       int
	rounds          int
	fewerRounds     int // instead of rounds in the suites kinds, latency, memory and delay
	warmup, measure time.Duration
	brief           time.Duration // instead of measure in the suites refusals, proxy and delay
	connections     []int         // of the suites sale and service, ascending
	few             []int         // further numbers of connections for the plot, below connections
	clients         []int         // of pgbench
	keys            []int         // cached keys in the suite memory
	scale           []int         // rows of each table in the suite scale
	benchtime       string        // as in go test -benchtime
	packages        int           // number of benchmarked packages
}

// Full is the mode for RESULTS.md.
var Full = Mode{
	Name: "full", Judged: true, Customers: 10_000, rounds: 5, fewerRounds: 3,
	warmup: 500 * time.Millisecond, measure: 2 * time.Second, brief: 1500 * time.Millisecond,
	connections: []int{64, 128, 256}, few: []int{1, 16}, clients: []int{16, 32, 64},
	keys: []int{10_000, 100_000}, scale: []int{1_000, 100_000, 10_000_000}, benchtime: "200ms", packages: 5,
}

// Quick is a mode that takes three minutes.
var Quick = Mode{
	Name: "quick", Judged: true, Customers: 10_000, rounds: 1, fewerRounds: 1,
	warmup: 500 * time.Millisecond, measure: 1500 * time.Millisecond, brief: time.Second,
	connections: []int{64, 256}, few: []int{1}, clients: []int{32, 64},
	keys: []int{10_000, 100_000}, scale: []int{1_000, 100_000}, benchtime: "100ms", packages: 5,
}

// Smoke is a mode that only shows that every suite runs.
var Smoke = Mode{
	Name: "smoke", AllSuites: true, Customers: 20, rounds: 1, fewerRounds: 1,
	warmup: 50 * time.Millisecond, measure: 150 * time.Millisecond, brief: 150 * time.Millisecond,
	connections: []int{2}, clients: []int{2},
	keys: []int{10, 100}, scale: []int{100}, benchtime: "1x", packages: 1,
}

// String describes the mode for the head of a report.
func (m Mode) String() string {
	return fmt.Sprintf("%s run; rounds: %d (%d in the suites kinds, latency, memory and delay) of %g s "+
		"(%g s in refusals, proxy and delay) after %g s of warm-up; figures are medians",
		m.Name, m.rounds, m.fewerRounds, m.measure.Seconds(), m.brief.Seconds(), m.warmup.Seconds())
}

func (m Mode) maxConnections() int { return m.connections[len(m.connections)-1] }

func (m Mode) plotConnections() []int { return slices.Concat(m.few, m.connections) }

func (m Mode) delayConnections() []int {
	return slices.Compact(append(slices.Clone(m.few[min(1, len(m.few)):]), m.connections[0], m.maxConnections()))
}
