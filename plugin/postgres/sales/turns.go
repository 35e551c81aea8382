package sales

import (
	"maps"
	"slices"
	"time"
)

// take returns the sales of the seat's batch, and those that were taken for the slow lane. Both are the seat's until
// it finishes.
func (q *queue) take(s *seat) (batch, diverted []*pendingSale) {
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

// takeTurns takes a sale of each workspace in turn.
func (q *queue) takeTurns(s *seat, now time.Time) {
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

// takeOne takes the next sale of the workspace, if it has one.
func (q *queue) takeOne(s *seat, ws *workspace, now time.Time) bool {
	for {
		l := ws.next()
		if l == nil {
			return false
		}
		p := l.waiting.first
		if p == nil || l.seat != nil && l.seat != s {
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
		if l.waiting.length > 0 { // this batch may hold more of them
			l.queued = true
			ws.line = append(ws.line, l)
		}
		return true
	}
}

// next takes the first of the workspace's lines.
func (ws *workspace) next() (first *line) {
	from := &ws.urgent
	if len(*from) == 0 {
		from = &ws.line
	}
	if len(*from) == 0 {
		return nil
	}
	first, *from = (*from)[0], (*from)[1:]
	first.queued = false
	return first
}

// finish ends the seat's task. again are sales of its batch that join the next one, and lost those of unknown outcome.
// suspects are workspaces that made the batch wait.
func (q *queue) finish(s *seat, again, lost []*pendingSale, suspects []string, connected bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	s.connected = connected
	for _, id := range suspects {
		q.suspect(id, now)
	}
	for i := len(again) - 1; i >= 0; i-- {
		p := again[i]
		if p.isOver() { // its caller has just left
			continue
		}
		q.workspace(p.WorkspaceID).all.prepend(p)
		q.waiting++
		q.place(p, true)
	}
	q.unlockAnswered(s.sales)
	q.unlockAnswered(s.diverted)
	if s.task != askTask && !q.lost.asking { // else they would be reserved for long
		q.reserve(lost)
	}
	for _, l := range s.lines {
		q.end(l)
	}
	q.leaveTask(s, lost, now)
}

// leaveTask ends what a task was assigned for.
func (q *queue) leaveTask(s *seat, lost []*pendingSale, now time.Time) {
	switch s.task {
	case askTask:
		q.dropOver(s)
		q.detach(s)
		q.lost.giveBack(s.group, lost, now)
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

// unreachable ends the seat's task, as it has no connection. If no writer has one, all that waited when the task was
// assigned fails with err, unless that is nil.
func (q *queue) unreachable(s *seat, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, since := time.Now(), s.since
	s.connected = false
	q.leaveTask(s, nil, now)
	if err != nil && !q.connected() {
		q.failArrived(since, notRecorded(err))
	}
	q.dispatch(now)
}

// failArrived answers the sales that have waited since then.
func (q *queue) failArrived(since time.Time, err error) {
	for _, ws := range q.workspaces {
		for p := ws.all.first; p != nil && !p.arrived.After(since); p = ws.all.first {
			q.remove(p)
			p.answer(nil, err)
			q.unlock(p)
		}
	}
}

// begin makes a line part of a seat's batch.
func (q *queue) begin(l *line, s *seat) {
	if l.seat == s {
		return
	}
	q.count(l, -l.waiting.length)
	l.seat, l.wanted = s, false
	s.lines = append(s.lines, l)
}

// end lets a line join further batches, unless lost sales of the customer are to be asked for first.
func (q *queue) end(l *line) {
	if l.wanted && !q.lost.asking {
		l.seat, l.wanted = q.reserved, false
		q.lost.hurry(time.Now())
		return
	}
	l.seat, l.wanted = nil, false
	q.count(l, l.waiting.length)
	q.enlist(l)
	q.dropIfEmpty(l)
}

// suspectFor is how long a workspace's sales are in batches of their own after they made others wait.
const suspectFor = 10 * time.Second

// isolatedWorkspaces are those whose sales made a shared batch wait for another session. Their sales are in batches of
// their own for a while, at most one of a workspace at a time, on half of the writers at most if there are several.
type isolatedWorkspaces struct {
	until   map[string]time.Time
	turns   []*workspace // that have ready sales and no batch under way
	running int

	// The most workspaces that had sales at the same time, of this period and of the one before.
	peak, previous int
	since          time.Time
}

// count notes how many workspaces have sales.
func (a *isolatedWorkspaces) count(workspaces int, now time.Time) {
	if now.Sub(a.since) > suspectFor {
		a.previous, a.peak, a.since = a.peak, 0, now
	}
	a.peak = max(a.peak, workspaces)
}

// most returns how many workspaces may be isolated: a quarter of them, or half of a few.
func (a *isolatedWorkspaces) most() int {
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

// take gives the seat the workspace whose turn it is, unless so many are under way.
func (a *isolatedWorkspaces) take(s *seat, most int) bool {
	for a.running < most && len(a.turns) > 0 {
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

// rounds returns how many batches of isolated workspaces run in a row until each of them has had one.
func (a *isolatedWorkspaces) rounds(most int) int {
	return max((len(a.turns)+a.running+most-1)/most, 1)
}

// suspect separates a workspace from the others, if there are any.
func (q *queue) suspect(id string, now time.Time) {
	if len(q.workspaces) < 2 {
		return
	}
	maps.DeleteFunc(q.isolated.until, func(_ string, until time.Time) bool { return until.Before(now) })
	if _, known := q.isolated.until[id]; !known && len(q.isolated.until) >= q.isolated.most() {
		return // were most of them isolated, no batch would hold sales of several
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

// rejoin lets a workspace that was separated for long enough share its batches again.
func (q *queue) rejoin(ws *workspace) {
	if !ws.isolated || ws.running || q.isolated.suspected(ws.id) {
		return
	}
	q.isolated.turns = slices.DeleteFunc(q.isolated.turns, func(other *workspace) bool { return other == ws })
	ws.isolated, ws.inTurns = false, false
	q.ready += ws.ready
}
