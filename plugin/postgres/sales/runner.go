package sales

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/sale"
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

// missed is a sale that could not be recorded in this batch, and why. It may be sent again.
type missed struct {
	*pendingSale
	why miss
}

type miss int

const (
	customerBusy   miss = iota // locked, renamed, purged or created by another session just now
	customerNew                // unknown, and not created because another session may be creating it
	customerLocked             // the statement itself would have had to wait
)

// runner runs the statement on one session, for a writer or for the slow
// lane, until each sale of a batch is answered or handed on.
type runner struct {
	*shared
	session *session
	batch   batch
	waits   bool          // the statement may wait for locks
	slice   time.Duration // for how long, at most

	todo   []attempt
	again  []*pendingSale
	missed []missed
}

// attempt is an execution of the statement that is still to come.
type attempt struct {
	sales    []*pendingSale
	existing bool // only for existing customers: none is created
	patient  bool // it may wait for locks, as the slow lane does
	tries    int  // executions that ran into a conflict
}

func newRunner(s *shared, session *session) *runner {
	return &runner{shared: s, session: session, slice: slowSlice}
}

// record answers the sales, but for those that must join the next batch, and those that it missed.
// It returns both until its next call.
func (r *runner) record(sales []*pendingSale) (again []*pendingSale, missed []missed) {
	r.clear()
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
	return r.again, r.missed
}

func (r *runner) clear() {
	clear(r.again)
	clear(r.missed)
	r.again, r.missed = r.again[:0], r.missed[:0]
}

// unreachable answers what was never sent, and returns what was.
func (r *runner) unreachable(sales []*pendingSale, err error) []*pendingSale {
	r.clear()
	for _, p := range sales {
		if p.unknown && !p.hasLeft() {
			r.again = append(r.again, p)
			continue
		}
		p.fail(notRecorded(err))
	}
	return r.again
}

func (r *runner) attempt(a attempt) {
	if r.waits {
		a.sales = keep(a.sales, r.inTime)
	}
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
	ctx, cancel := context.WithDeadline(r.ctx, lastDeadline(a.sales).Add(deadlineGrace))
	defer cancel()
	r.metrics.batch.Observe(float64(len(a.sales)))
	start := time.Now()
	defer func() { r.metrics.statement.Observe(time.Since(start).Seconds()) }()
	if !r.waits && !a.patient && a.single() {
		r.batch.encodeSingle(a.sales)
		if recorded, err := r.session.executeSingle(ctx, &r.batch); recorded || err != nil {
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
func (r *runner) inTime(p *pendingSale) bool {
	if time.Until(p.deadline) > r.slowMargin() {
		return true
	}
	p.fail(notRecorded(errLate))
	return false
}

func (r *runner) slowMargin() time.Duration {
	return min(maxSlowMargin, r.options.SaleTimeout/20)
}

// patience is how long the sales may wait for a lock.
func (r *runner) patience(sales []*pendingSale) time.Duration {
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

// answer deals with the rows of a committed statement.
func (r *runner) answer(sales []*pendingSale) {
	var earlier bool
	for i, p := range sales {
		row := &r.batch.rows[i]
		switch row.status {
		case statusOK:
			p.answer(row.recorded, row.err)
		case statusExists, statusReplay:
			earlier = true
		case statusMismatch:
			p.answer(nil, sale.ErrIdempotencyMismatch)
		case statusUnattributed:
			p.fail(sale.ErrUnattributed)
		case statusBusy, statusRaced:
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
}

// answerEarlier answers sales that an earlier statement has recorded, once they
// are as safe as if this one had.
func (r *runner) answerEarlier(sales []*pendingSale) {
	ctx, cancel := context.WithDeadline(r.ctx, lastDeadline(sales).Add(deadlineGrace))
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
			r.warnKeyless(row)
			p.answer(row.recorded, row.err)
		case !lost:
			p.answer(nil, p.outcomeUnknown(fmt.Errorf("it is recorded, but perhaps not on the standbys: %w", err)))
		case p.lose():
			r.again = append(r.again, p)
		}
	}
}

// warnKeyless tells the operator of a sale whose retry will be another: a key is stored
// with each row that the INSERT returns, which a site's own trigger may keep back.
func (r *runner) warnKeyless(row *row) {
	if row.keyless && due(&r.notices.keyless) {
		r.options.Logger.Error("a sale is recorded without its idempotency key, and a retry will record it twice",
			slog.String("remedy", "end the INSTEAD OF INSERT trigger on hoko.sales with RETURN NEW"))
	}
}

// miss takes back the claim of a sale that was not recorded.
func (r *runner) miss(p *pendingSale, why miss) {
	p.misses++
	if p.release() {
		r.missed = append(r.missed, missed{p, why})
	}
}

// rename gives a sale another id, as another workspace has a sale of this one;
// which also proves that no earlier statement recorded it.
func (r *runner) rename(p *pendingSale) {
	id, err := uuid.NewV7()
	if err != nil {
		p.fail(notRecorded(err))
		return
	}
	p.id, p.unknown = id, false
	p.name(id)
	r.miss(p, customerBusy)
}
