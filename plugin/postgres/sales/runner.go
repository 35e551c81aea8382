package sales

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/sale"
)

const (
	// maxTries bounds the conflicts of an attempt and the unusable connections of a sale.
	maxTries = 3
	// slowSlice bounds one wait for a lock in the slow lane. All waiting customers share it, so
	// that those that stay locked do not block the others. No wait is shorter than minSlowSlice.
	slowSlice    = 250 * time.Millisecond
	minSlowSlice = 2 * time.Millisecond
	// maxSlowMargin is the time before its deadline at which a sale leaves the slow lane, when it
	// is certainly not recorded. It is at most a twentieth of the sale's timeout.
	maxSlowMargin = 250 * time.Millisecond
	// minLockTimeout and maxLockTimeout bound a writer's wait for another session, which is
	// twice the usual time of a statement, so that it outlasts the commit of a similar one.
	minLockTimeout = 50 * time.Millisecond
	maxLockTimeout = 250 * time.Millisecond
)

// missed is a sale that this batch could not record, and why. It may be sent again.
type missed struct {
	*pendingSale
	why miss
}

type miss int

const (
	customerBusy   miss = iota // another session has just locked, renamed, purged or created it
	customerNew                // unknown, and not created since another session may be creating it
	customerLocked             // the statement would have to wait for it, or for the sale's key or link
	batchBlocked               // the statement would have to wait for other sales of its batch
)

// runner runs the statement on one session, for a writer or the slow lane, until each sale of a
// batch is answered or handed on.
type runner struct {
	*shared
	session *session
	batch   batch
	waits   bool          // the statement may wait for locks, as in the slow lane
	slice   time.Duration // max wait for a lock, if waits
	asks    bool          // the sales have an unknown outcome

	todo    []attempt
	blocked int // sales of the batch that would have to wait
	result
}

// result holds the sales of a batch that are not answered. It is valid until the next batch.
type result struct {
	again    []*pendingSale // to join the next batch
	missed   []missed
	suspects []string // workspaces whose sales made the batch wait for another session
}

type attempt struct {
	sales    []*pendingSale
	existing bool // create no customers
	tries    int  // executions that failed with a conflict
}

func newRunner(s *shared, session *session) *runner {
	return &runner{shared: s, session: session, slice: slowSlice}
}

// record answers the sales, except for those in its result.
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
			next.sales = filter(next.sales, r.inTime)
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

// unreachable answers the sales that were never sent, and returns the others.
func (r *runner) unreachable(sales []*pendingSale, err error) []*pendingSale {
	r.clear()
	for _, p := range sales {
		r.fail(p, notRecorded(err))
	}
	return r.again
}

// fail answers a sale with err, which says that it was not recorded. That is not certain while an
// earlier statement may still commit: then the sale is sent again until its deadline.
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
	start := time.Now()
	a.sales = filter(a.sales, func(p *pendingSale) bool { return p.claim(start) })
	if len(a.sales) == 0 {
		return
	}
	err := r.execute(a, start)
	if err == nil {
		r.answer(a.sales)
		return
	}
	failure := classify(err)
	r.metrics.failures[failure.class].Inc()
	if cause := failure.action.retryCause(len(a.sales)); cause != "" {
		r.metrics.retries[cause].Add(float64(len(a.sales)))
	}
	if failure.action == askAgain {
		r.askAgain(a, err)
		return
	}
	// The statement was rolled back, or never sent.
	a.sales = filter(a.sales, (*pendingSale).release)
	if len(a.sales) == 0 {
		return
	}
	switch failure.action {
	case reconnect:
		r.reconnect(a, err)
	case repeat:
		r.repeat(a, err)
	case stepAside:
		r.stepAside(a, err)
	case giveUp:
		r.giveUp(a, failure.dropSession, err)
	case halve:
		r.halve(a, rejected(err))
	}
}

func (r *runner) execute(a attempt, start time.Time) error {
	r.metrics.batch.Observe(float64(len(a.sales)))
	span := startSpan(a.sales, start)
	err := r.send(a)
	end := time.Now()
	postgres.EndSpan(span, end, err)
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
		strict := slices.ContainsFunc(a.sales, (*pendingSale).isRejectedSilently)
		return r.session.execute(ctx, &r.batch, r.lockWait(a.sales), strict)
	}
	return r.session.execute(ctx, &r.batch, r.lockTimeout(), false)
}

// lockTimeout returns how long a writer's statement may wait for another session.
func (r *runner) lockTimeout() time.Duration {
	return min(max(2*r.times.usual(time.Now()), minLockTimeout), maxLockTimeout)
}

// inTime fails a sale that might not be answered in time if it were sent now, unless it may have
// been recorded. It reports whether the sale may be sent.
func (r *runner) inTime(p *pendingSale) bool {
	if p.unknown || time.Until(p.deadline) > r.slowMargin() {
		return true
	}
	p.answer(nil, notRecorded(errLate))
	return false
}

func (r *runner) slowMargin() time.Duration {
	return max(min(maxSlowMargin, r.options.SaleTimeout/20),
		min(r.times.likelyMax(time.Now()), r.options.SaleTimeout/4))
}

// lockWait returns how long the sales may wait for a lock.
func (r *runner) lockWait(sales []*pendingSale) time.Duration {
	wait := r.slice
	for _, p := range sales {
		wait = min(wait, time.Until(p.deadline)-r.slowMargin())
	}
	return max(wait, time.Millisecond) // 0 would mean forever
}

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
		case statusRaced: // the statement waited for the session that created the customer
			p.raced++
			r.suspect(p)
			r.miss(p, customerBusy)
		case statusNew:
			r.miss(p, customerNew)
		case statusTaken:
			r.rename(p)
		default:
			p.answer(nil, p.outcomeUnknown(errors.New("the database returned no known status for it")))
		}
	}
	if earlier {
		r.answerEarlier(sales)
	}
	for _, p := range unattributed { // the last, as session.unattributed may run a query
		r.fail(p, r.session.unattributed())
	}
}

// answerEarlier answers sales that an earlier statement recorded, once the standbys have them.
func (r *runner) answerEarlier(sales []*pendingSale) {
	ctx, cancel := r.session.bounded(r.ctx)
	defer cancel()
	err := r.session.awaitStandbys(ctx)
	lost := err != nil && classify(err).action == askAgain
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
			err := fmt.Errorf("the sale is recorded, but perhaps not on the standbys: %w", err)
			p.answer(nil, p.outcomeUnknown(err))
		case p.lose():
			r.again = append(r.again, p)
		}
	}
}

func (r *runner) miss(p *pendingSale, why miss) {
	p.misses++
	if p.release() {
		r.metrics.retries[retryCustomer].Inc()
		r.missed = append(r.missed, missed{p, why})
	}
}

// suspect notes that a sale of this workspace made the batch wait for another session.
func (r *runner) suspect(p *pendingSale) {
	if !slices.Contains(r.suspects, p.WorkspaceID) {
		r.suspects = append(r.suspects, p.WorkspaceID)
	}
}
