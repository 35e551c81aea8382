package sales

import (
	"maps"
	"slices"
	"time"
)

// take returns the slot's batch and the sales for the slow lane. The slot has both until finish.
func (q *queue) take(s *slot) (batch, diverted []*pendingSale) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	s.connected, s.taken = true, true
	switch s.task {
	case askTask:
		q.takeLost(s)
	case isolatedTask:
		for len(s.sales) < q.batch && q.takeOne(s, s.workspace, now) {
		}
	default:
		q.takeTurns(s, now)
	}
	q.dispatch(now)
	return s.sales, s.diverted
}

func (q *queue) takeTurns(s *slot, now time.Time) {
	for len(s.sales) < q.batch && len(q.turns) > 0 {
		ws := q.turns[0]
		q.turns = q.turns[1:]
		if ws.isolated || !q.takeOne(s, ws, now) {
			ws.inTurns = ws.isolated && ws.inTurns
			continue
		}
		q.turns = append(q.turns, ws)
	}
}

func (q *queue) takeOne(s *slot, ws *workspace, now time.Time) bool {
	for {
		l := ws.next()
		if l == nil {
			return false
		}
		p := l.waiting.first
		if p == nil || l.slot != nil && l.slot != s {
			continue
		}
		if _, divert := q.diverted[l.customer]; divert {
			for ; p != nil; p = l.waiting.first {
				q.remove(p)
				s.diverted = append(s.diverted, p)
			}
			continue
		}
		if !q.inTime(p, now) {
			q.remove(p)
			p.answer(nil, notRecorded(errLate))
			q.unlock(p)
			q.enlist(l)
			continue
		}
		q.begin(l, s)
		q.remove(p)
		s.sales = append(s.sales, p)
		if l.waiting.length > 0 { // this batch may take more of them
			l.queued = true
			ws.fifo = append(ws.fifo, l)
		}
		return true
	}
}

func (ws *workspace) next() (first *line) {
	from := &ws.urgent
	if len(*from) == 0 {
		from = &ws.fifo
	}
	if len(*from) == 0 {
		return nil
	}
	first, *from = (*from)[0], (*from)[1:]
	first.queued = false
	return first
}

// finish ends the slot's task. The sales in again join the next batch, lost ones have an unknown
// outcome, and suspects are workspaces that made the batch wait.
func (q *queue) finish(s *slot, again, lost []*pendingSale, suspects []string, connected bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	s.connected = connected
	for _, id := range suspects {
		q.suspect(id, now)
	}
	for i := len(again) - 1; i >= 0; i-- {
		p := again[i]
		if p.isOver() { // its caller has left
			continue
		}
		q.workspace(p.WorkspaceID).all.prepend(p)
		q.waiting++
		q.place(p, true)
	}
	q.unlockAnswered(s.sales)
	q.unlockAnswered(s.diverted)
	if s.task != askTask && !q.lost.asking { // otherwise they would stay reserved for long
		q.reserve(lost)
	}
	for _, l := range s.lines {
		q.end(l)
	}
	q.endTask(s, lost, now)
}

// endTask clears the slot and ends the exclusive part of its task.
func (q *queue) endTask(s *slot, lost []*pendingSale, now time.Time) {
	switch s.task {
	case askTask:
		q.dropDone(s)
		q.detach(s)
		q.lost.putBack(s.group, lost, now)
	case isolatedTask:
		q.lost.add(lost, now)
		q.detach(s)
		q.rejoin(s.workspace)
		q.turn(s.workspace)
		q.forget(s.workspace)
	default:
		q.lost.add(lost, now)
	}
	clear(s.lines)
	clear(s.sales)
	clear(s.diverted)
	s.last, s.task, s.workspace, s.group = s.task, noTask, nil, lostGroup{}
	s.lines, s.sales, s.diverted = s.lines[:0], s.sales[:0], s.diverted[:0]
}

// unreachable ends the slot's task because the writer has no connection. If no writer has one and
// err is not nil, all sales that waited when the task was assigned fail with err.
func (q *queue) unreachable(s *slot, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, since := time.Now(), s.since
	s.connected = false
	q.endTask(s, nil, now)
	if err != nil && !q.connected() {
		q.failArrived(since, notRecorded(err))
	}
	q.dispatch(now)
}

// failArrived fails the sales that arrived no later than since.
func (q *queue) failArrived(since time.Time, err error) {
	for _, ws := range q.workspaces {
		for p := ws.all.first; p != nil && !p.arrived.After(since); p = ws.all.first {
			q.remove(p)
			p.answer(nil, err)
			q.unlock(p)
		}
	}
}

// begin reserves the line's customer for the slot's batch.
func (q *queue) begin(l *line, s *slot) {
	if l.slot == s {
		return
	}
	q.count(l, -l.waiting.length)
	l.slot, l.reserve = s, false
	s.lines = append(s.lines, l)
}

// end releases a line from its batch. If lost sales of its customer must be sent first, the
// line becomes reserved.
func (q *queue) end(l *line) {
	if l.reserve && !q.lost.asking {
		l.slot, l.reserve = q.reserved, false
		q.lost.makeDue(time.Now())
		return
	}
	l.slot, l.reserve = nil, false
	q.count(l, l.waiting.length)
	q.enlist(l)
	q.dropIfEmpty(l)
}

// suspectFor is how long the sales of a workspace stay isolated after they made others wait.
const suspectFor = 10 * time.Second

// isolatedWorkspaces are the workspaces whose sales made a shared batch wait for another session.
// For a while, each has separate batches, at most one at a time, on a bounded number of writers;
// see maxIsolated.
type isolatedWorkspaces struct {
	until   map[string]time.Time
	turns   []*workspace // those with ready sales and no batch under way
	running int

	// The most workspaces with sales at the same time, in this period and the previous one.
	peak, previous int
	since          time.Time
}

// count updates the peak, in periods of suspectFor.
func (a *isolatedWorkspaces) count(workspaces int, now time.Time) {
	if now.Sub(a.since) > suspectFor {
		a.previous, a.peak, a.since = a.peak, 0, now
	}
	a.peak = max(a.peak, workspaces)
}

// limit returns how many workspaces may be isolated: a quarter of all, or half if there are few.
func (a *isolatedWorkspaces) limit() int {
	workspaces := max(a.peak, a.previous)
	return max(workspaces/4, min(workspaces/2, 4), 1)
}

func (a *isolatedWorkspaces) suspected(id string) bool {
	if len(a.until) == 0 {
		return false
	}
	until, known := a.until[id]
	return known && time.Now().Before(until)
}

// take assigns the next isolated workspace to the slot, if fewer than limit are running.
func (a *isolatedWorkspaces) take(s *slot, limit int) bool {
	for a.running < limit && len(a.turns) > 0 {
		ws := a.turns[0]
		a.turns = a.turns[1:]
		ws.inTurns = false
		if ws.ready == 0 {
			continue
		}
		a.running++
		ws.running = true
		s.workspace = ws
		return true
	}
	return false
}

// rounds returns how many batches a writer runs until each isolated workspace has had one.
func (a *isolatedWorkspaces) rounds(limit int) int {
	return max((len(a.turns)+a.running+limit-1)/limit, 1)
}

// suspect isolates a workspace, if there are others.
func (q *queue) suspect(id string, now time.Time) {
	if len(q.workspaces) < 2 {
		return
	}
	maps.DeleteFunc(q.isolated.until, func(_ string, until time.Time) bool { return until.Before(now) })
	if _, known := q.isolated.until[id]; !known && len(q.isolated.until) >= q.isolated.limit() {
		return // otherwise few batches would still be shared
	}
	q.isolated.until[id] = now.Add(suspectFor)
	ws := q.workspaces[id]
	if ws == nil || ws.isolated {
		return
	}
	q.ready -= ws.ready
	ws.isolated, ws.inTurns = true, false
	q.turn(ws)
}

// rejoin ends a workspace's isolation when its time is over.
func (q *queue) rejoin(ws *workspace) {
	if !ws.isolated || ws.running || q.isolated.suspected(ws.id) {
		return
	}
	q.isolated.turns = slices.DeleteFunc(q.isolated.turns, func(other *workspace) bool { return other == ws })
	ws.isolated, ws.inTurns = false, false
	q.ready += ws.ready
}
