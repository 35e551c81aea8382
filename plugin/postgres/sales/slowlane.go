package sales

import (
	"errors"
	"slices"
	"sync"
	"time"

	"hoko.to/edge/plugin/postgres"
)

// maxMisses bounds the times that a customer is renamed, purged or created just
// when the slow lane looks it up.
const maxMisses = 20

var (
	errRestless = errors.New("its customer keeps changing")
	errHidden   = errors.New("hoko.customers neither takes the customer nor shows it: a view must show each row that an INSERT can run into, see docs/adopting.md")
)

// slowLane records the sales whose customer another session has locked, or is
// just creating: on connections that may wait for it, all waiting sales of one
// customer a statement.
type slowLane struct {
	*shared
	queue     *queue
	connector *postgres.Connector
	workers   sync.WaitGroup

	mu         sync.Mutex
	filled     sync.Cond // the workers wait for it
	lines      map[customerKey]*slowLine
	ready      []*slowLine    // those that no worker has, longest wait first
	waiting    int            // sales in all lines
	workspaces map[string]int // and those of each workspace
	idle       int            // workers that wait for a line
	extra      int            // workers beyond the lasting ones
	closed     bool
}

// slowLine is what waits for one customer.
type slowLine struct {
	customer  customerKey
	waiting   []*pendingSale
	exclusive bool // the customer's further sales come here, too
}

func newSlowLane(s *shared, q *queue, connector *postgres.Connector) *slowLane {
	l := &slowLane{shared: s, queue: q, connector: connector, lines: map[customerKey]*slowLine{}, workspaces: map[string]int{}}
	l.filled.L = &l.mu
	return l
}

// start starts the lasting workers, which connect immediately: once a customer is locked, it is too late for that.
func (l *slowLane) start() {
	for range postgres.SlowLaneConns {
		l.workers.Go(func() { l.run(true) })
	}
}

// run is the goroutine of one of the lane's workers, which close awaits. One that does not last ends once no line is ready.
func (l *slowLane) run(lasts bool) {
	session := newSession(l.shared, l.connector, saleWaitingSQL)
	defer session.drop()
	_ = session.ready(l.ctx) // what it fails with is logged, and comes again
	runner := newRunner(l.shared, session)
	runner.waits = true
	for line := l.next(lasts); line != nil; line = l.next(lasts) {
		sales := l.take(line)
		switch err := session.ready(l.ctx); {
		case blocked(err):
			l.finish(line, sales, keep(slices.Clone(sales), runner.inTime))
		case err != nil && !lasts: // the lasting ones may have connections
			l.finish(line, sales, slices.Clone(sales))
			session.pause(l.ctx)
			l.leave()
			return
		case err != nil:
			l.finish(line, sales, runner.unreachable(sales, err))
			session.pause(l.ctx)
		default:
			runner.slice = l.slice()
			l.finish(line, sales, runner.retain(runner.record(slices.Clone(sales))))
		}
	}
}

// leave ends a worker that does not last.
func (l *slowLane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extra--
}

// add joins a sale to its customer's line, or returns why it is shed: neither a customer nor a workspace may fill the
// lane. An exclusive one has the customer's further sales follow it.
func (l *slowLane) add(p *pendingSale, exclusive bool) *shed {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, known := l.lines[p.customer]
	mine, limit, workspaces := l.workspaces[p.WorkspaceID], l.options.Queue, len(l.workspaces)
	if mine == 0 {
		workspaces++
	}
	switch share := limit / workspaces; {
	case known && len(line.waiting) >= max(l.options.Batch, limit/4):
		return errCustomerFull
	case l.waiting >= limit/2 && mine >= max(share, 1):
		return errShareUsed
	case l.waiting >= limit && !l.evict(mine):
		return errQueueFull
	}
	if !known {
		line = &slowLine{customer: p.customer}
		l.lines[p.customer] = line
		l.enlist(line, l.idle)
	}
	if exclusive && !line.exclusive {
		line.exclusive = true
		l.queue.divert(p.customer, true)
	}
	line.waiting = append(line.waiting, p)
	l.waiting++
	l.workspaces[p.WorkspaceID]++
	return nil
}

// evict sheds the newest sale of the longest line of the workspace that has most waiting, if that is more than so many;
// the caller has the lock.
func (l *slowLane) evict(than int) bool {
	most := ""
	for workspace, waiting := range l.workspaces {
		if waiting > than {
			most, than = workspace, waiting
		}
	}
	var longest *slowLine
	for customer, line := range l.lines {
		if customer.workspaceID == most && len(line.waiting) > 0 && (longest == nil || len(line.waiting) > len(longest.waiting)) {
			longest = line
		}
	}
	if longest == nil {
		return false
	}
	last := len(longest.waiting) - 1
	p := longest.waiting[last]
	longest.waiting = longest.waiting[:last]
	l.count(longest, -1)
	p.answer(nil, notRecorded(errShareUsed))
	l.queue.answered([]*pendingSale{p})
	return true
}

// next returns a line that is then the caller's until it finishes with it; nil
// once the lane is closed and empty, or for a worker that does not last if none is ready.
func (l *slowLane) next(lasts bool) *slowLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle++
	for lasts && len(l.ready) == 0 && !l.closed {
		l.filled.Wait()
	}
	l.idle--
	if len(l.ready) == 0 {
		if !lasts {
			l.extra--
		}
		return nil
	}
	line := l.ready[0]
	l.ready = l.ready[1:]
	return line
}

// slice is a line's share of slowSlice.
func (l *slowLane) slice() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(slowSlice/l.turns(), minSlowSlice)
}

// turns is how many lines one worker has; the caller has the lock.
func (l *slowLane) turns() time.Duration {
	return time.Duration(1 + len(l.ready)/(postgres.SlowLaneConns+l.extra))
}

// wait returns how long a further sale of the customer waits at least; 0 if none of it is in the lane.
func (l *slowLane) wait(customer customerKey) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, known := l.lines[customer]
	if !known {
		return 0
	}
	return max(slowSlice, minSlowSlice*l.turns()) * time.Duration(1+len(line.waiting)/l.options.Batch)
}

// take removes from a line what one statement can hold.
func (l *slowLane) take(line *slowLine) []*pendingSale {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(line.waiting), l.options.Batch)
	sales := line.waiting[:n:n]
	line.waiting = line.waiting[n:]
	l.count(line, -n)
	return sales
}

// finish gives a line back, with the sales that must wait again. Those of unknown outcome are asked for by the writers.
func (l *slowLane) finish(line *slowLine, sales, again []*pendingSale) {
	var lost, waiting []*pendingSale
	for _, p := range again {
		if p.unknown {
			lost = append(lost, p)
		} else {
			waiting = append(waiting, p)
		}
	}
	if len(lost) > 0 {
		l.queue.ask(lost)
	}
	l.putBack(line, waiting)
	l.queue.answered(sales)
}

func (l *slowLane) putBack(line *slowLine, again []*pendingSale) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(line, len(again))
	line.waiting = append(again, line.waiting...)
	if len(line.waiting) > 0 {
		l.enlist(line, l.idle+1) // the worker that gives it back is free
		return
	}
	delete(l.lines, line.customer)
	if line.exclusive {
		l.queue.divert(line.customer, false)
	}
}

// count keeps the numbers of waiting sales; the caller has the lock.
func (l *slowLane) count(line *slowLine, sales int) {
	l.waiting += sales
	workspace := line.customer.workspaceID
	if l.workspaces[workspace] += sales; l.workspaces[workspace] == 0 {
		delete(l.workspaces, workspace)
	}
}

// enlist makes a line wait for a worker, and starts another one if too few are idle; the caller has the lock.
func (l *slowLane) enlist(line *slowLine, idle int) {
	l.ready = append(l.ready, line)
	if len(l.ready) > idle && l.extra < l.options.ExtraSlowLaneConns() && !l.closed {
		l.extra++
		l.workers.Go(func() { l.run(false) })
		return
	}
	l.filled.Signal()
}

// retain returns the sales that may wait on: while their customer is locked, and until
// it has changed too often.
func (r *runner) retain(of result) []*pendingSale {
	again := of.again
	for _, m := range of.missed {
		if m.why == customerLocked || m.misses < maxMisses || m.unknown {
			again = append(again, m.pendingSale)
			continue
		}
		if m.isRefusedSilently() {
			m.answer(nil, refused(errHidden))
			continue
		}
		m.answer(nil, notRecorded(errRestless))
	}
	return again
}

// close ends the workers, and returns when they have ended.
func (l *slowLane) close() {
	l.mu.Lock()
	l.closed = true
	l.filled.Broadcast()
	l.mu.Unlock()
	l.workers.Wait()
}

func (l *slowLane) len() (customers, sales int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines), l.waiting
}
