package sales

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hoko.to/edge/plugin/postgres"
)

// maxMisses bounds how often a customer may change or vanish just when the slow lane looks it up.
const maxMisses = 20

var (
	errCustomerChanging = errors.New("its customer keeps changing")
	errHidden           = errors.New("hoko.customers neither inserts the customer nor shows it: " +
		"a view must show every row that an INSERT can conflict with, see docs/adopting.md")
)

// slowLane records the sales whose customer another session has locked or is creating. Its
// connections may wait for that; each statement holds waiting sales of one customer.
type slowLane struct {
	*shared
	queue     *queue
	connector *postgres.Connector
	workers   sync.WaitGroup
	conns     atomic.Int64 // open connections

	mu         sync.Mutex
	filled     sync.Cond // signals waiting workers
	lines      map[customerKey]*slowLine
	ready      []*slowLine    // lines that no worker has, longest wait first
	waiting    int            // sales in all lines
	workspaces map[string]int // of each workspace
	idle       int            // workers that wait for a line
	extra      int            // temporary workers
	closed     bool
}

// slowLine holds the sales that wait for one customer.
type slowLine struct {
	customer  customerKey
	waiting   []*pendingSale
	exclusive bool // the customer's later sales also come here
}

func newSlowLane(s *shared, q *queue, connector *postgres.Connector) *slowLane {
	l := &slowLane{
		shared: s, queue: q, connector: connector, lines: map[customerKey]*slowLine{}, workspaces: map[string]int{},
	}
	l.filled.L = &l.mu
	return l
}

// start starts the permanent workers. They connect immediately: once a customer is locked, it is
// too late for that.
func (l *slowLane) start() {
	for range postgres.SlowLaneConns {
		l.workers.Go(func() { l.run(true) })
	}
}

// run is the goroutine of a worker. A temporary one ends once no line is ready.
func (l *slowLane) run(permanent bool) {
	session := newSession(l.shared, l.connector, saleWaitingSQL)
	session.conns = &l.conns
	defer session.drop()
	_ = session.ready(l.ctx) // an error is logged, and the next line retries
	runner := newRunner(l.shared, session)
	runner.waits = true
	for line := l.next(permanent); line != nil; line = l.next(permanent) {
		sales := l.take(line)
		switch err := session.ready(l.ctx); {
		case blocked(err):
			l.finish(line, sales, filter(slices.Clone(sales), runner.inTime))
		case err != nil && !permanent: // permanent workers may have connections
			l.finish(line, sales, slices.Clone(sales))
			session.pause(l.ctx)
			l.endExtra()
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

func (l *slowLane) endExtra() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extra--
}

// add adds a sale to its customer's line, or returns why it is shed: neither a customer nor a
// workspace may fill the lane. If exclusive, the customer's later sales follow it.
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
	l.metrics.slow.Inc()
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

// evict sheds the newest sale in the longest line of the workspace with the most waiting sales, if
// it has more than n. It reports whether it did. The caller holds the lock.
func (l *slowLane) evict(n int) bool {
	most := ""
	for workspace, waiting := range l.workspaces {
		if waiting > n {
			most, n = workspace, waiting
		}
	}
	var longest *slowLine
	for customer, line := range l.lines {
		longer := longest == nil || len(line.waiting) > len(longest.waiting)
		if customer.workspaceID == most && len(line.waiting) > 0 && longer {
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

// next returns a line that belongs to the caller until finish. It returns nil once the lane is
// closed and empty, or for a temporary worker if no line is ready.
func (l *slowLane) next(permanent bool) *slowLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle++
	for permanent && len(l.ready) == 0 && !l.closed {
		l.filled.Wait()
	}
	l.idle--
	if len(l.ready) == 0 {
		if !permanent {
			l.extra--
		}
		return nil
	}
	line := l.ready[0]
	l.ready = l.ready[1:]
	return line
}

func (l *slowLane) slice() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(slowSlice/l.linesPerWorker(), minSlowSlice)
}

// linesPerWorker returns how many lines a worker serves. The caller holds the lock.
func (l *slowLane) linesPerWorker() time.Duration {
	return time.Duration(1 + len(l.ready)/(postgres.SlowLaneConns+l.extra))
}

// wait returns the minimum wait of another sale of the customer, 0 if none is in the lane.
func (l *slowLane) wait(customer customerKey) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, known := l.lines[customer]
	if !known {
		return 0
	}
	return max(slowSlice, minSlowSlice*l.linesPerWorker()) * time.Duration(1+len(line.waiting)/l.options.Batch)
}

func (l *slowLane) take(line *slowLine) []*pendingSale {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(line.waiting), l.options.Batch)
	sales := line.waiting[:n:n]
	line.waiting = line.waiting[n:]
	l.count(line, -n)
	return sales
}

// finish gives a line back with the sales that must wait again. Writers send the lost ones again.
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
		l.enlist(line, l.idle+1) // the worker that returns it is free
		return
	}
	delete(l.lines, line.customer)
	if line.exclusive {
		l.queue.divert(line.customer, false)
	}
}

func (l *slowLane) count(line *slowLine, sales int) {
	l.waiting += sales
	workspace := line.customer.workspaceID
	if l.workspaces[workspace] += sales; l.workspaces[workspace] == 0 {
		delete(l.workspaces, workspace)
	}
}

// enlist makes a line ready and starts a worker if too few are idle. The caller holds the lock.
func (l *slowLane) enlist(line *slowLine, idle int) {
	l.ready = append(l.ready, line)
	if len(l.ready) > idle && l.extra < l.options.ExtraSlowLaneConns() && !l.closed {
		l.extra++
		l.workers.Go(func() { l.run(false) })
		return
	}
	l.filled.Signal()
}

// retain returns the sales that keep waiting: those of locked customers, and others until
// maxMisses.
func (r *runner) retain(of result) []*pendingSale {
	again := of.again
	for _, m := range of.missed {
		if m.why == customerLocked || m.misses < maxMisses || m.unknown {
			again = append(again, m.pendingSale)
			continue
		}
		if m.isRejectedSilently() {
			m.answer(nil, rejected(errHidden))
			continue
		}
		m.answer(nil, notRecorded(errCustomerChanging))
	}
	return again
}

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
