package ledger

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// fault is one way to break something.
type fault struct {
	on, name string
	min, max time.Duration // how long it lasts
	alone    bool          // strikes when all else is well
	// strike breaks it; what it returns mends it, and may be nil. e is an edge with sales in
	// flight.
	strike func(w *world, e *edge, r *rand.Rand) (mend func())
}

func (f *fault) String() string { return f.on + ": " + f.name }

// step is a fault at its place in a schedule.
type step struct {
	*fault
	after    int // recorded sales
	edge     int
	lasts    time.Duration
	overlaps bool // the next step does not wait for the end of this one
	seed     uint64
}

// newSchedule draws from a seed the faults whose name holds a text: all of them in some order, and
// again, until there are enough.
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

// run carries a schedule out.
type run struct {
	w       *world
	active  []activeFault
	strikes []strike
}

// strike is a fault that has struck.
type strike struct {
	*fault
	edge       string
	begin, end time.Time
}

// inFlight is how many attempts it met, by their journals: on its edge, where it struck one.
func (s *strike) inFlight(sales []*sale) (count int) {
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
	mend     func()
}

// run strikes once after the other. What breaks the same part never overlaps, so that the world
// always comes back.
func (r *run) run(steps []step) {
	for _, step := range steps {
		r.mendUntil(func(f activeFault) bool { return f.on == step.on || step.alone })
		r.awaitSales(step.after)
		r.strike(step)
		if !step.overlaps {
			r.mendUntil(func(activeFault) bool { return true })
		}
	}
	r.mendUntil(func(activeFault) bool { return true })
}

func (r *run) strike(step step) {
	e, chance := r.w.edges[step.edge], rand.New(rand.NewPCG(step.seed, 0))
	var begin time.Time
	r.w.until(fmt.Sprintf("sales are in flight for %s", step.fault), func() bool {
		r.mendDue()
		begin = time.Now()
		return e.inFlight.Load() > 0
	})
	mend := step.strike(r.w, e, chance)
	r.strikes = append(r.strikes, strike{step.fault, e.name, begin, time.Now()})
	if mend != nil {
		r.active = append(r.active, activeFault{step.on, step.name, time.Now().Add(step.lasts), mend})
	}
}

// awaitSales returns when so many more sales have been recorded.
func (r *run) awaitSales(count int) {
	from := r.w.clients.recorded.Load()
	r.w.until(fmt.Sprintf("%d more sales are recorded", count), func() bool {
		r.mendDue()
		return r.w.clients.recorded.Load() >= from+int64(count)
	})
}

// mendUntil lets faults last as long as they are to, and mends them, until none is left of which
// that is true.
func (r *run) mendUntil(isOne func(activeFault) bool) {
	r.w.until("the faults end", func() bool {
		r.mendDue()
		for _, f := range r.active {
			if isOne(f) {
				return false
			}
		}
		return true
	})
}

func (r *run) mendDue() {
	var still []activeFault
	for _, f := range r.active {
		if time.Now().Before(f.ends) {
			still = append(still, f)
			continue
		}
		f.mend()
	}
	r.active = still
}
