package sales

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"hoko.to/edge/plugin/postgres"
)

// maxMisses bounds the times that a customer is renamed, purged or created just
// when the slow lane looks it up.
const maxMisses = 20

var errRestless = errors.New("its customer keeps changing")

// slowLane records the sales whose customer somebody else has locked, or is
// just creating: on connections that may wait for it, all waiting sales of one
// customer a statement.
type slowLane struct {
	*shared
	connector *postgres.Connector
	creating  atomic.Int32 // lines that create their customer

	mu      sync.Mutex
	filled  sync.Cond // the workers wait for it
	lines   map[customerKey]*slowLine
	ready   []*slowLine // those that no worker has, longest wait first
	waiting int         // sales in all lines
	closed  bool
}

// slowLine is what waits for one customer.
type slowLine struct {
	customer customerKey
	waiting  []*pendingSale
	creates  bool
}

func newSlowLane(s *shared, connector *postgres.Connector) *slowLane {
	l := &slowLane{shared: s, connector: connector, lines: map[customerKey]*slowLine{}}
	l.filled.L = &l.mu
	return l
}

// run is the goroutine of one of the lane's workers, which the store starts and
// awaits.
func (l *slowLane) run() {
	session := newSession(l.shared, l.connector, saleWaitingSQL)
	defer session.drop()
	runner := newRunner(l.shared, session)
	runner.waits = true
	for line := l.next(); line != nil; line = l.next() {
		sales := l.take(line)
		if err := session.ready(l.ctx); err != nil {
			l.finish(line, runner.unreachable(sales, err))
			session.pause(l.ctx)
		} else {
			runner.slice = l.slice()
			l.finish(line, retain(runner.record(sales)))
		}
	}
}

// add joins a sale to its customer's line; false where too many wait there, so
// that one customer cannot fill the lane, or in all.
func (l *slowLane) add(p *pendingSale, creates bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, known := l.lines[p.customer]
	if l.waiting >= l.options.Queue || known && len(line.waiting) >= max(l.options.Batch, l.options.Queue/4) {
		return false
	}
	if !known {
		line = &slowLine{customer: p.customer}
		l.lines[p.customer] = line
		l.enlist(line)
	}
	if creates && !line.creates {
		line.creates = true
		l.creating.Add(1)
	}
	line.waiting = append(line.waiting, p)
	l.waiting++
	return true
}

// creates tells whether a line is about to create the customer.
func (l *slowLane) creates(customer customerKey) bool {
	if l.creating.Load() == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.lines[customer]
	return line != nil && line.creates
}

// next returns a line that is then the caller's until it finishes with it; nil
// once the lane is closed and empty.
func (l *slowLane) next() *slowLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.ready) == 0 && !l.closed {
		l.filled.Wait()
	}
	if len(l.ready) == 0 {
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
	turns := 1 + len(l.ready)/postgres.SlowLaneConns
	return max(slowSlice/time.Duration(turns), minSlowSlice)
}

// take removes from a line what one statement can hold.
func (l *slowLane) take(line *slowLine) []*pendingSale {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sales []*pendingSale
	sales, line.waiting = newDedupe().take(nil, line.waiting, l.options.Batch)
	l.waiting -= len(sales)
	return sales
}

// finish gives a line back, with the sales that must wait again.
func (l *slowLane) finish(line *slowLine, again []*pendingSale) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting += len(again)
	line.waiting = append(append([]*pendingSale(nil), again...), line.waiting...)
	if len(line.waiting) > 0 {
		l.enlist(line)
		return
	}
	delete(l.lines, line.customer)
	if line.creates {
		l.creating.Add(-1)
	}
}

// enlist makes a line wait for a worker; the caller has the lock.
func (l *slowLane) enlist(line *slowLine) {
	l.ready = append(l.ready, line)
	l.filled.Signal()
}

// retain adds to again the missed sales that may wait on: while their customer is locked, and until
// it has changed too often.
func retain(again []*pendingSale, missed []missed) []*pendingSale {
	for _, m := range missed {
		if m.why == customerLocked || m.misses < maxMisses {
			again = append(again, m.pendingSale)
			continue
		}
		m.fail(notRecorded(errRestless))
	}
	return again
}

func (l *slowLane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.filled.Broadcast()
}

func (l *slowLane) len() (customers, sales int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines), l.waiting
}
