package ledger

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

type fault struct {
	on, name  string
	min, max  time.Duration // duration
	exclusive bool          // injected only while no other fault is active
	// inject starts the fault and returns its end, or nil. e is an edge with sales in flight.
	inject func(w *world, e *edge, r *rand.Rand) (fix func())
}

func (f *fault) String() string { return f.on + ": " + f.name }

type step struct {
	*fault
	after    int // sales to be recorded before it
	edge     int
	lasts    time.Duration
	overlaps bool // the next step does not wait until this one ends
	seed     uint64
}

// newSchedule returns count faults whose names contain the text in only. The seed determines their
// order. Every fault occurs once before any occurs again.
func newSchedule(seed uint64, count int, only string) []step {
	r := rand.New(rand.NewPCG(seed, 0))
	var faults []*fault
	for i := range allFaults {
		if f := &allFaults[i]; strings.Contains(f.String(), only) {
			faults = append(faults, f)
		}
	}
	var steps []step
	for len(faults) > 0 && len(steps) < count {
		for _, i := range r.Perm(len(faults)) {
			f := faults[i]
			steps = append(steps, step{
				fault:    f,
				after:    1 + r.IntN(60),
				edge:     r.IntN(edgeCount),
				lasts:    f.min + time.Duration(r.Int64N(int64(f.max-f.min)+1)),
				overlaps: r.IntN(3) == 0,
				seed:     r.Uint64(),
			})
		}
	}
	return steps[:min(count, len(steps))]
}

type run struct {
	w          *world
	active     []activeFault
	injections []injection
}

type injection struct {
	*fault
	edge       string
	begin, end time.Time
}

// inFlight counts the attempts that were in flight during the injection. If the fault was on an
// edge, it counts those of that edge.
func (s *injection) inFlight(sales []*sale) (count int) {
	for _, sale := range sales {
		for _, a := range sale.tries() {
			if !a.unsent && (s.on != "edge" || a.edge == s.edge) && a.start.Before(s.end) && a.end.After(s.begin) {
				count++
			}
		}
	}
	return count
}

type activeFault struct {
	on, name string
	ends     time.Time
	fix      func()
}

// run injects the steps in order. Faults of the same part never overlap, so it always recovers.
func (r *run) run(steps []step) {
	for _, step := range steps {
		r.fixUntil(func(f activeFault) bool { return f.on == step.on || step.exclusive })
		r.awaitSales(step.after)
		r.inject(step)
		if !step.overlaps {
			r.fixUntil(func(activeFault) bool { return true })
		}
	}
	r.fixUntil(func(activeFault) bool { return true })
}

func (r *run) inject(step step) {
	e, chance := r.w.edges[step.edge], rand.New(rand.NewPCG(step.seed, 0))
	var begin time.Time
	r.w.until(fmt.Sprintf("sales are in flight for %s", step.fault), func() bool {
		r.fixDue()
		begin = time.Now()
		return e.inFlight.Load() > 0
	})
	fix := step.inject(r.w, e, chance)
	r.injections = append(r.injections, injection{step.fault, e.name, begin, time.Now()})
	if fix != nil {
		r.active = append(r.active, activeFault{step.on, step.name, time.Now().Add(step.lasts), fix})
	}
}

func (r *run) awaitSales(count int) {
	from := r.w.clients.recorded.Load()
	r.w.until(fmt.Sprintf("%d more sales are recorded", count), func() bool {
		r.fixDue()
		return r.w.clients.recorded.Load() >= from+int64(count)
	})
}

// fixUntil ends each fault when it has lasted long enough, until no active fault matches.
func (r *run) fixUntil(isOne func(activeFault) bool) {
	r.w.until("the faults end", func() bool {
		r.fixDue()
		for _, f := range r.active {
			if isOne(f) {
				return false
			}
		}
		return true
	})
}

func (r *run) fixDue() {
	var still []activeFault
	for _, f := range r.active {
		if time.Now().Before(f.ends) {
			still = append(still, f)
			continue
		}
		f.fix()
	}
	r.active = still
}
