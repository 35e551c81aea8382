package postgres

import (
	"context"
	"slices"
	"time"
)

const (
	// maxTries is how often a batch runs into a conflict before its halves run, and onto a useless connection before
	// it is given up.
	maxTries = 3
	// deadlineGrace after the last of its sales' deadlines a statement is given up, and its connection with it.
	deadlineGrace = 250 * time.Millisecond
	// slowSlice bounds one wait for a lock in the slow lane, which all customers that wait share: those that are
	// locked for good must not keep the others out, however many they are. None waits less than minSlowSlice.
	slowSlice    = 250 * time.Millisecond
	minSlowSlice = 2 * time.Millisecond
	// maxSlowMargin before its deadline, or a twentieth of a sale's time if that is less, a sale leaves the slow lane:
	// while that still proves that it was not recorded.
	maxSlowMargin = 250 * time.Millisecond
)

// miss is why a sale could not be recorded in this batch.
type miss int

const (
	customerBusy   miss = iota // locked, renamed, purged or created by another session just now
	customerNew                // unknown, and not created because another session may be creating it
	customerLocked             // the statement itself would have had to wait
)

// saleRunner runs the statement on one session, for a writer or for the slow
// lane, until each sale of a batch is answered or handed on.
type saleRunner struct {
	store   *SaleStore
	session *saleSession
	batch   saleBatch
	waits   bool          // the statement may wait for locks
	slice   time.Duration // for how long, at most

	// missed says whether a sale joins the next batch of this runner; if not, it is somebody else's by then.
	missed func(p *pendingSale, why miss) (again bool)

	todo  []attempt
	again []*pendingSale
}

// attempt is an execution of the statement that is still to come.
type attempt struct {
	sales    []*pendingSale
	existing bool // only for existing customers: none is created
	patient  bool // it may wait for locks, as the slow lane does
	tries    int  // executions that ran into a conflict
}

func newSaleRunner(s *SaleStore, session *saleSession, missed func(*pendingSale, miss) bool) *saleRunner {
	return &saleRunner{store: s, session: session, slice: slowSlice, missed: missed}
}

// record returns those of the sales that are to join the next batch, until its
// next call.
func (r *saleRunner) record(sales []*pendingSale) []*pendingSale {
	clear(r.again)
	r.again = r.again[:0]
	r.todo = append(r.todo[:0], attempt{sales: sales})
	for len(r.todo) > 0 {
		last := len(r.todo) - 1
		next := r.todo[last]
		r.todo = r.todo[:last]
		if r.session.connected() {
			r.attempt(next)
		} else {
			r.again = append(r.again, next.sales...)
		}
	}
	return r.again
}

// unreachable answers what was never sent, and returns what was.
func (r *saleRunner) unreachable(sales []*pendingSale, err error) []*pendingSale {
	clear(r.again)
	r.again = r.again[:0]
	for _, p := range sales {
		if p.unknown && !p.hasLeft() {
			r.again = append(r.again, p)
			continue
		}
		p.fail(notRecorded(err))
	}
	return r.again
}

func (r *saleRunner) attempt(a attempt) {
	if r.waits {
		a.sales = keep(a.sales, r.inTime)
	}
	a.sales = keep(a.sales, (*pendingSale).claim)
	if len(a.sales) == 0 {
		return
	}
	err := r.execute(a)
	if err == nil {
		r.settle(a.sales)
		return
	}
	verdict := judge(err)
	r.store.metrics.failures.WithLabelValues(verdict.class).Inc()
	if verdict.do == askAgain {
		r.askAgain(a, err)
		return
	}
	// The statement was rolled back, or never sent.
	a.sales = keep(a.sales, (*pendingSale).release)
	if len(a.sales) == 0 {
		return
	}
	switch verdict.do {
	case reconnect:
		r.reconnect(a, err)
	case repeat:
		r.repeat(a, err)
	case stepAside:
		r.stepAside(a, err)
	case giveUp:
		r.giveUp(a, verdict, err)
	case halve:
		r.halve(a, refused(err))
	}
}

// execute runs the statement once, after the one that is enough for most sales alone.
func (r *saleRunner) execute(a attempt) error {
	ctx, cancel := context.WithDeadline(r.store.cut, lastDeadline(a.sales).Add(deadlineGrace))
	defer cancel()
	r.store.metrics.batch.Observe(float64(len(a.sales)))
	start := time.Now()
	defer func() { r.store.metrics.statement.Observe(time.Since(start).Seconds()) }()
	if !r.waits && !a.patient && a.alone() {
		r.batch.encodeAlone(a.sales)
		if recorded, err := r.session.executeAlone(ctx, &r.batch); recorded || err != nil {
			return err
		}
	}
	r.batch.encode(a.sales, !a.existing)
	if r.waits || a.patient {
		return r.session.executeWaiting(ctx, &r.batch, r.patience(a.sales))
	}
	return r.session.execute(ctx, &r.batch)
}

// inTime fails a sale that might not be answered in time if it were sent.
func (r *saleRunner) inTime(p *pendingSale) bool {
	if time.Until(p.deadline) > r.slowMargin() {
		return true
	}
	p.fail(notRecorded(errLate))
	return false
}

func (r *saleRunner) slowMargin() time.Duration {
	return min(maxSlowMargin, r.store.options.SaleTimeout/20)
}

// patience is how long the sales may wait for a lock.
func (r *saleRunner) patience(sales []*pendingSale) time.Duration {
	wait := r.slice
	for _, p := range sales {
		wait = min(wait, time.Until(p.deadline)-r.slowMargin())
	}
	return max(wait, time.Millisecond) // 0 would mean for ever
}

func lastDeadline(sales []*pendingSale) time.Time {
	last := sales[0].deadline
	for _, p := range sales {
		if p.deadline.After(last) {
			last = p.deadline
		}
	}
	return last
}

func keep(sales []*pendingSale, f func(*pendingSale) bool) []*pendingSale {
	return slices.DeleteFunc(sales, func(p *pendingSale) bool { return !f(p) })
}
