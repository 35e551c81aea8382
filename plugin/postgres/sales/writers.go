package sales

import (
	"slices"
	"time"

	"hoko.to/edge/plugin/postgres"
)

// writer records batch after batch of the queue's sales.
type writer struct {
	*shared
	queue  *queue
	slot   *slot
	slow   *slowLane
	runner *runner
	batch  []*pendingSale // under way; the runner splits it
	lost   []*pendingSale // the sales of batch with an unknown outcome
}

func newWriter(s *shared, q *queue, slot *slot, slow *slowLane, connector *postgres.Connector) *writer {
	return &writer{shared: s, queue: q, slot: slot, slow: slow, runner: newRunner(s, newSession(s, connector, saleSQL))}
}

// run is the writer's goroutine. It ends when the queue is closed.
func (w *writer) run() {
	session := w.runner.session
	defer session.drop()
	for w.queue.await(w.slot) {
		if err := session.ready(w.ctx); err != nil {
			w.unreachable(err)
			continue
		}
		taken, diverted := w.queue.take(w.slot)
		w.batch = append(w.batch[:0], taken...)
		for _, p := range diverted {
			w.divert(p, true)
		}
		w.runner.asks = w.slot.task == askTask
		again, suspects := w.retain(w.runner.record(w.batch))
		w.queue.finish(w.slot, again, w.lost, suspects, session.connected())
		clear(w.batch)
		clear(w.lost)
		w.lost = w.lost[:0]
	}
}

// unreachable leaves the work to the other writers. If none is connected, all waiting sales fail,
// unless only a lock keeps the session from preparing its statement.
func (w *writer) unreachable(err error) {
	if blocked(err) {
		w.queue.unreachable(w.slot, nil)
		return
	}
	w.queue.unreachable(w.slot, err)
	w.runner.session.pause(w.ctx)
}

// retain returns the sales that join the next batch. That includes a missed sale whose customer was
// busy for the first time, as the customer is often free by then. Other missed sales go to the slow
// lane, and those with an unknown outcome are kept in lost.
func (w *writer) retain(r result) (again []*pendingSale, suspects []string) {
	again = r.again[:0]
	for _, p := range r.again {
		if p.unknown {
			w.lost = append(w.lost, p)
			continue
		}
		again = append(again, p)
	}
	for _, m := range r.missed {
		switch {
		case m.unknown:
			w.lost = append(w.lost, m.pendingSale)
		case m.why == customerBusy && m.misses < 2:
			again = append(again, m.pendingSale)
		default:
			w.divert(m.pendingSale, m.why == customerNew || m.why == customerLocked)
		}
	}
	return again, r.suspects
}

func (w *writer) divert(p *pendingSale, exclusive bool) {
	if shed := w.slow.add(p, exclusive); shed != nil {
		p.answer(nil, notRecorded(shed))
	}
}

type task int

const (
	noTask       task = iota
	sharedTask        // a batch of all workspaces but isolated ones
	isolatedTask      // a batch of one workspace that made others wait
	askTask           // sales with an unknown outcome
)

const (
	// overdueAfter is the minimum time after which a batch under way counts as stuck.
	overdueAfter = 20 * time.Millisecond
	// connectingAfter is the minimum time after which a connecting writer counts as stuck.
	connectingAfter = 250 * time.Millisecond
)

// slot is a writer's place at the queue, guarded by the queue's lock. Its sales belong to the
// writer while it has a task.
type slot struct {
	wake      chan struct{}
	task      task
	last      task      // the previous one
	since     time.Time // start of the task
	taken     bool      // its batch is taken
	detached  bool      // it takes so long that another writer may have a similar task
	connected bool

	workspace *workspace // for an isolatedTask
	group     lostGroup  // for an askTask
	lines     []*line    // the customers in its batch
	sales     []*pendingSale
	diverted  []*pendingSale // taken for the slow lane
}

// await returns true once the slot has a task, and false once the queue is closed.
func (q *queue) await(s *slot) bool {
	q.mu.Lock()
	if !s.connected { // prefer a writer that is
		q.dispatch(time.Now())
	}
	if q.closed || q.assign(s, time.Now()) {
		defer q.mu.Unlock()
		if !q.closed && len(q.idle) > 0 { // this one's connection may be dead
			q.wakeLater(s.since)
		}
		return !q.closed
	}
	q.idle = append(q.idle, s)
	q.wakeLater(time.Now())
	q.mu.Unlock()
	<-s.wake
	return s.task != noTask
}

// dispatch assigns work to idle slots: first to connected ones, the last used one first.
func (q *queue) dispatch(now time.Time) {
	for len(q.idle) > 0 {
		i := len(q.idle) - 1
		for i > 0 && !q.idle[i].connected {
			i--
		}
		if !q.idle[i].connected {
			i = len(q.idle) - 1
		}
		s := q.idle[i]
		if !q.assign(s, now) {
			q.wakeLater(now)
			return
		}
		q.idle = slices.Delete(q.idle, i, i+1)
		s.wake <- struct{}{}
	}
}

// assign gives the slot a task, if any: a shared batch first if its last task was another.
func (q *queue) assign(s *slot, now time.Time) bool {
	q.detachOverdue(now)
	shared := q.needsWriter(s, now)
	switch {
	case shared && s.last > sharedTask:
		s.task = sharedTask
	case q.lost.take(s, q.batch, now):
		s.task = askTask
	case q.isolated.take(s, q.maxIsolated()):
		s.task = isolatedTask
	case shared:
		s.task = sharedTask
	default:
		return false
	}
	s.since, s.taken, s.detached = now, false, false
	return true
}

func (q *queue) connected() bool {
	return slices.ContainsFunc(q.slots, func(s *slot) bool { return s.connected })
}

// maxIsolated returns how many batches of isolated workspaces may run at the same time: half of the
// writers, or all but one while no other sale waits.
func (q *queue) maxIsolated() int {
	if q.ready == 0 {
		return max(len(q.slots)-1, 1)
	}
	return max(len(q.slots)/2, 1)
}

// detachOverdue lets other writers take over the exclusive tasks of stuck writers.
func (q *queue) detachOverdue(now time.Time) {
	for _, s := range q.slots {
		if s.task > sharedTask && !s.detached && s.overdue(q.patience(now)).Before(now) {
			q.detach(s)
		}
	}
}

// detach ends the exclusive part of the slot's task, so that another writer may have a similar one.
func (q *queue) detach(s *slot) {
	if s.detached {
		return
	}
	s.detached = true
	switch s.task {
	case askTask:
		q.lost.asking = false
		if !s.taken { // it is still connecting
			q.lost.groups = append(q.lost.groups, s.group)
			s.group = lostGroup{}
			return
		}
		q.lost.putBack(s.group, nil, time.Now()) // group holds those that were not sent
		s.group.sales = nil
	case isolatedTask:
		q.isolated.running--
		s.workspace.running = false
		q.turn(s.workspace)
	}
}

// needsWriter reports whether another shared batch should start.
func (q *queue) needsWriter(by *slot, now time.Time) bool {
	if q.ready == 0 {
		return false
	}
	working, beginning := 0, 0
	patience := q.patience(now)
	for _, s := range q.slots {
		if s.task != sharedTask || s.overdue(patience).Before(now) || by.connected && !s.connected && !s.taken {
			continue
		}
		working++
		if !s.taken {
			beginning++
		}
	}
	return working == 0 || q.ready-beginning*q.batch >= q.batch
}

// patience returns how long a writer counts as active; hardly any statement takes longer.
func (q *queue) patience(now time.Time) time.Duration {
	return max(overdueAfter, q.times.usual(now)+q.times.likelyMax(now))
}

// overdue returns when the slot's task counts as stuck.
func (s *slot) overdue(patience time.Duration) time.Time {
	if !s.taken {
		patience = max(patience, connectingAfter)
	}
	return s.since.Add(patience)
}

// wakeLater sets the timer for when an idle slot may next be assigned work.
func (q *queue) wakeLater(now time.Time) {
	at, found := q.lost.due()
	if q.ready > 0 || q.isolated.running > 0 || q.lost.asking {
		patience := q.patience(now)
		for _, s := range q.slots {
			if s.task == noTask || s.detached {
				continue
			}
			if overdue := s.overdue(patience); !overdue.Before(now) && (!found || overdue.Before(at)) {
				at, found = overdue, true
			}
		}
	}
	if !found || !q.wakesAt.IsZero() && !at.Before(q.wakesAt) {
		return
	}
	q.wakesAt = at
	q.timer.Reset(at.Sub(now))
}

func (q *queue) tick() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wakesAt = time.Time{}
	if !q.closed {
		q.dispatch(time.Now())
	}
}
