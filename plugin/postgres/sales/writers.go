package sales

import (
	"slices"
	"time"

	"hoko.to/edge/plugin/postgres"
)

// writer commits, batch after batch, the sales that wait in the queue.
type writer struct {
	*shared
	queue  *queue
	seat   *seat
	slow   *slowLane
	runner *runner
	batch  []*pendingSale // that is under way, for the runner to take apart
	lost   []*pendingSale // of it
}

func newWriter(s *shared, q *queue, seat *seat, slow *slowLane, connector *postgres.Connector) *writer {
	return &writer{shared: s, queue: q, seat: seat, slow: slow, runner: newRunner(s, newSession(s, connector, saleSQL))}
}

// run is the writer's goroutine, which the store starts and awaits.
func (w *writer) run() {
	session := w.runner.session
	defer session.drop()
	for w.queue.await(w.seat) {
		if err := session.ready(w.ctx); err != nil {
			w.unreachable(err)
			continue
		}
		taken, diverted := w.queue.take(w.seat)
		w.batch = append(w.batch[:0], taken...)
		for _, p := range diverted {
			w.divert(p, true)
		}
		w.runner.asks = w.seat.task == askTask
		again, suspects := w.retain(w.runner.record(w.batch))
		w.queue.finish(w.seat, again, w.lost, suspects, session.connected())
		clear(w.batch)
		clear(w.lost)
		w.lost = w.lost[:0]
	}
}

// unreachable leaves the work to the other writers. Without any that is connected all that waits fails, unless it is
// only a lock that keeps the session from preparing its statement.
func (w *writer) unreachable(err error) {
	if blocked(err) {
		w.queue.unreachable(w.seat, nil)
		return
	}
	w.queue.unreachable(w.seat, err)
	w.runner.session.pause(w.ctx)
}

// retain returns the sales that join the next batch: among those that were missed, the ones whose customer was busy for
// the first time, as it is often free by then. The others go to the slow lane, and lost ones are asked for.
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

// divert sends a sale to the slow lane.
func (w *writer) divert(p *pendingSale, exclusive bool) {
	if shed := w.slow.add(p, exclusive); shed != nil {
		p.answer(nil, notRecorded(shed))
	}
}

// task is what a writer is assigned.
type task int

const (
	noTask       task = iota
	sharedTask        // the sales of all workspaces
	isolatedTask      // those of one workspace that made others wait
	askTask           // those whose outcome was lost
)

const (
	// overdueAfter is the least time after which a batch under way counts as stuck.
	overdueAfter = 20 * time.Millisecond
	// connectingAfter is the least time after which a writer that connects does.
	connectingAfter = 250 * time.Millisecond
)

// seat is a writer's place at the queue. Its queue's lock guards it, but for sales, which are the writer's while it
// has a task.
type seat struct {
	wake      chan struct{}
	task      task
	last      task      // before this one
	since     time.Time // of the task
	taken     bool      // its batch is taken
	detached  bool      // the task takes so long that another writer may have one like it
	connected bool

	workspace *workspace // of an isolatedTask
	group     lostGroup  // of an askTask
	lines     []*line    // of the customers in its batch
	sales     []*pendingSale
	diverted  []*pendingSale // taken for the slow lane
}

// await returns once the seat has a task; false once the queue is closed.
func (q *queue) await(s *seat) bool {
	q.mu.Lock()
	if !s.connected { // one that is should have the work
		q.dispatch(time.Now())
	}
	if q.closed || q.assign(s, time.Now()) {
		defer q.mu.Unlock()
		if !q.closed && len(q.idle) > 0 { // its connection may turn out to be dead
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

// dispatch assigns work to idle seats: to those first that are connected, and were busy last.
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

// assign gives the seat a task, if there is one: a shared batch if its last task was another.
func (q *queue) assign(s *seat, now time.Time) bool {
	q.detachOverdue(now)
	shared := q.wanted(s, now)
	switch {
	case shared && s.last > sharedTask:
		s.task = sharedTask
	case q.lost.take(s, q.batch, now):
		s.task = askTask
	case q.isolated.take(s, q.mostIsolated()):
		s.task = isolatedTask
	case shared:
		s.task = sharedTask
	default:
		return false
	}
	s.since, s.taken, s.detached = now, false, false
	return true
}

// connected reports whether a writer has a connection.
func (q *queue) connected() bool {
	return slices.ContainsFunc(q.seats, func(s *seat) bool { return s.connected })
}

// mostIsolated returns how many batches of isolated workspaces may be under way: half of the writers, and all but one
// while no other sale waits.
func (q *queue) mostIsolated() int {
	if q.ready == 0 {
		return max(len(q.seats)-1, 1)
	}
	return max(len(q.seats)/2, 1)
}

// detachOverdue lets others do what a stuck writer has been assigned, of what one writer does at a time.
func (q *queue) detachOverdue(now time.Time) {
	for _, s := range q.seats {
		if s.task > sharedTask && !s.detached && s.overdue(q.patience(now)).Before(now) {
			q.detach(s)
		}
	}
}

// detach ends the exclusive part of the seat's task.
func (q *queue) detach(s *seat) {
	if s.detached {
		return
	}
	s.detached = true
	switch s.task {
	case askTask:
		q.lost.asking = false
		if !s.taken { // it cannot connect
			q.lost.groups = append(q.lost.groups, s.group)
			s.group = lostGroup{}
			return
		}
		q.lost.giveBack(s.group, nil, time.Now()) // those that were not sent
		s.group.sales = nil
	case isolatedTask:
		q.isolated.running--
		s.workspace.running = false
		q.turn(s.workspace)
	}
}

// wanted reports whether another shared batch should be begun.
func (q *queue) wanted(by *seat, now time.Time) bool {
	if q.ready == 0 {
		return false
	}
	working, beginning := 0, 0
	patience := q.patience(now)
	for _, s := range q.seats {
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

// patience returns how long a writer counts as working: hardly any statement takes longer.
func (q *queue) patience(now time.Time) time.Duration {
	return max(overdueAfter, q.times.usual(now)+q.times.most(now))
}

// overdue returns when the writer no longer counts as working.
func (s *seat) overdue(patience time.Duration) time.Time {
	if !s.taken {
		patience = max(patience, connectingAfter)
	}
	return s.since.Add(patience)
}

// wakeLater sets the timer for the moment at which an idle seat may be assigned what waits.
func (q *queue) wakeLater(now time.Time) {
	at, some := q.lost.due()
	if q.ready > 0 || q.isolated.running > 0 || q.lost.asking {
		patience := q.patience(now)
		for _, s := range q.seats {
			if s.task == noTask || s.detached {
				continue
			}
			if overdue := s.overdue(patience); !overdue.Before(now) && (!some || overdue.Before(at)) {
				at, some = overdue, true
			}
		}
	}
	if !some || !q.wakesAt.IsZero() && !at.Before(q.wakesAt) {
		return
	}
	q.wakesAt = at
	q.timer.Reset(at.Sub(now))
}

// tick is the timer's.
func (q *queue) tick() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wakesAt = time.Time{}
	if !q.closed {
		q.dispatch(time.Now())
	}
}
