package sales

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"hoko.to/edge/plugin/sale"
)

const (
	// maxTries is how often a batch runs into a conflict, or onto a useless connection.
	maxTries = 3
	// slowSlice bounds one wait for a lock in the slow lane, which all customers that wait share: those that are
	// locked for good must not keep the others out. None waits less than minSlowSlice.
	slowSlice    = 250 * time.Millisecond
	minSlowSlice = 2 * time.Millisecond
	// maxSlowMargin before its deadline, or a twentieth of a sale's time if that is less, a sale leaves the slow lane:
	// while that still proves that it was not recorded.
	maxSlowMargin = 250 * time.Millisecond
	// minLockTimeout and maxLockTimeout bound how long the shared statement waits for another session: twice as long
	// as statements usually take, so that it outlasts the commit of a statement like it.
	minLockTimeout = 50 * time.Millisecond
	maxLockTimeout = 250 * time.Millisecond
)

// missed is a sale that could not be recorded in this batch, and why. It may be sent again.
type missed struct {
	*pendingSale
	why miss
}

type miss int

const (
	customerBusy   miss = iota // locked, renamed, purged or created by another session just now
	customerNew                // unknown, and not created because another session may be creating it
	customerLocked             // the statement itself would have had to wait for it, or for its sale's key or link
	batchBlocked               // the statement would have had to wait for others of its batch
)

// runner runs the statement on one session, for a writer or for the slow
// lane, until each sale of a batch is answered or handed on.
type runner struct {
	*shared
	session *session
	batch   batch
	waits   bool          // the statement may wait for locks
	slice   time.Duration // for how long, at most
	asks    bool          // for sales whose outcome is unknown

	todo    []attempt
	blocked int // sales of the batch that would have had to wait
	result
}

// result is what becomes of the sales of a batch that are not answered. It holds until the next batch.
type result struct {
	again    []*pendingSale // that join the next batch
	missed   []missed
	suspects []string // workspaces whose sales made the batch wait for another session
}

// attempt is an execution of the statement that is still to come.
type attempt struct {
	sales    []*pendingSale
	existing bool // only for existing customers: none is created
	tries    int  // executions that ran into a conflict
}

func newRunner(s *shared, session *session) *runner {
	return &runner{shared: s, session: session, slice: slowSlice}
}

// record answers the sales, but for those of its result.
func (r *runner) record(sales []*pendingSale) result {
	r.clear()
	r.todo = append(r.todo[:0], attempt{sales: sales})
	for first := true; len(r.todo) > 0; first = false {
		last := len(r.todo) - 1
		next := r.todo[last]
		r.todo = r.todo[:last]
		if !r.session.connected() {
			r.again = append(r.again, next.sales...)
			continue
		}
		if r.waits || !first {
			next.sales = keep(next.sales, r.inTime)
		}
		r.attempt(next)
	}
	return r.result
}

func (r *runner) clear() {
	clear(r.again)
	clear(r.missed)
	r.blocked, r.result = 0, result{r.again[:0], r.missed[:0], r.suspects[:0]}
}

// unreachable answers what was never sent, and returns what was.
func (r *runner) unreachable(sales []*pendingSale, err error) []*pendingSale {
	r.clear()
	for _, p := range sales {
		r.fail(p, notRecorded(err))
	}
	return r.again
}

// fail answers that this sale was not recorded, and why. That is no proof while an earlier statement with it may still
// commit: its outcome is asked for until its deadline.
func (r *runner) fail(p *pendingSale, err error) {
	if !p.unknown {
		p.answer(nil, err)
		return
	}
	if p.lose() {
		r.again = append(r.again, p)
	}
}

func (r *runner) attempt(a attempt) {
	a.sales = keep(a.sales, (*pendingSale).claim)
	if len(a.sales) == 0 {
		return
	}
	err := r.execute(a)
	if err == nil {
		r.answer(a.sales)
		return
	}
	verdict := judge(err)
	r.metrics.failures.WithLabelValues(verdict.class).Inc()
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
func (r *runner) execute(a attempt) error {
	r.metrics.batch.Observe(float64(len(a.sales)))
	start := time.Now()
	err := r.send(a)
	end := time.Now()
	r.metrics.statement.Observe(end.Sub(start).Seconds())
	if err == nil && !r.waits {
		r.times.observe(end.Sub(start), end)
	}
	return err
}

func (r *runner) send(a attempt) error {
	if !r.waits && a.single() && r.session.waitsBriefly() {
		if recorded, err := r.sendSingle(a); recorded || err != nil {
			return err
		}
	}
	ctx, cancel := r.session.bounded(r.ctx)
	defer cancel()
	r.batch.encode(a.sales, !a.existing)
	if r.waits {
		return r.session.execute(ctx, &r.batch, r.patience(a.sales), slices.ContainsFunc(a.sales, (*pendingSale).isRefusedSilently))
	}
	return r.session.execute(ctx, &r.batch, r.lockTimeout(), false)
}

// lockTimeout returns how long the shared statement may wait for another session.
func (r *runner) lockTimeout() time.Duration {
	return min(max(2*r.times.usual(time.Now()), minLockTimeout), maxLockTimeout)
}

// inTime fails a sale that might not be answered in time if it were sent, unless it may have been recorded already.
func (r *runner) inTime(p *pendingSale) bool {
	if p.unknown || time.Until(p.deadline) > r.slowMargin() {
		return true
	}
	p.answer(nil, notRecorded(errLate))
	return false
}

func (r *runner) slowMargin() time.Duration {
	return max(min(maxSlowMargin, r.options.SaleTimeout/20), min(r.times.most(time.Now()), r.options.SaleTimeout/4))
}

// patience is how long the sales may wait for a lock.
func (r *runner) patience(sales []*pendingSale) time.Duration {
	wait := r.slice
	for _, p := range sales {
		wait = min(wait, time.Until(p.deadline)-r.slowMargin())
	}
	return max(wait, time.Millisecond) // 0 would mean for ever
}

// answer deals with the rows of a committed statement.
func (r *runner) answer(sales []*pendingSale) {
	var earlier bool
	var unattributed []*pendingSale
	for i, p := range sales {
		row := &r.batch.rows[i]
		switch row.status {
		case statusOK:
			r.session.attributed()
			p.answer(row.recorded, row.err)
		case statusExists, statusReplay:
			earlier = true
		case statusMismatch:
			p.answer(nil, sale.ErrIdempotencyMismatch)
		case statusUnattributed:
			unattributed = append(unattributed, p)
		case statusBusy:
			r.miss(p, customerBusy)
		case statusRaced: // the statement has waited for the session that created the customer
			p.raced++
			r.suspect(p)
			r.miss(p, customerBusy)
		case statusNew:
			r.miss(p, customerNew)
		case statusTaken:
			r.rename(p)
		default:
			p.answer(nil, p.outcomeUnknown(errors.New("the database has not said what became of it")))
		}
	}
	if earlier {
		r.answerEarlier(sales)
	}
	for _, p := range unattributed { // the last, as a question may come first
		r.fail(p, r.session.unattributed())
	}
}

// answerEarlier answers sales that an earlier statement has recorded, once they
// are as safe as if this one had.
func (r *runner) answerEarlier(sales []*pendingSale) {
	ctx, cancel := r.session.bounded(r.ctx)
	defer cancel()
	err := r.session.awaitStandbys(ctx)
	lost := err != nil && judge(err).do == askAgain
	if lost {
		r.session.drop()
	}
	for i, p := range sales {
		row := &r.batch.rows[i]
		switch {
		case row.status != statusExists && row.status != statusReplay:
		case err == nil:
			p.answer(row.recorded, row.err)
		case !lost:
			p.answer(nil, p.outcomeUnknown(fmt.Errorf("it is recorded, but perhaps not on the standbys: %w", err)))
		case p.lose():
			r.again = append(r.again, p)
		}
	}
}

// miss takes back the claim of a sale that was not recorded.
func (r *runner) miss(p *pendingSale, why miss) {
	p.misses++
	if p.release() {
		r.missed = append(r.missed, missed{p, why})
	}
}

// suspect notes that a sale of this workspace has made the batch wait for another session.
func (r *runner) suspect(p *pendingSale) {
	if !slices.Contains(r.suspects, p.WorkspaceID) {
		r.suspects = append(r.suspects, p.WorkspaceID)
	}
}
