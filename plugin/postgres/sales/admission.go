package sales

import "time"

// shed is the error of a sale that the edge rejects because of the sales before it.
type shed struct {
	reason string // label of hoko_sale_shed_total
	text   string
}

func (s *shed) Error() string { return s.text }

var (
	errQueueFull    = &shed{"queue", "too many sales wait"}
	errShareUsed    = &shed{"share", "too many sales of its workspace wait"} // once half of the queue is used
	errWait         = &shed{"wait", "the expected wait exceeds the time left"}
	errLate         = &shed{"late", "not sent before its deadline"} // or too shortly before it
	errCustomerFull = &shed{"customer", "too many sales wait for the lock on its customer"}
)

var allSheds = []*shed{errQueueFull, errShareUsed, errWait, errLate, errCustomerFull}

// push appends a sale, or returns why it is shed.
func (q *queue) push(p *pendingSale) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if shed := q.admit(p, now); shed != nil {
		return notRecorded(shed)
	}
	p.arrived = now
	ws := q.workspace(p.WorkspaceID)
	ws.all.append(p)
	q.waiting++
	if q.lock(p) {
		q.place(p, false)
	}
	q.dispatch(now)
	return nil
}

// admit returns why a sale is shed, or nil.
func (q *queue) admit(p *pendingSale, now time.Time) *shed {
	ws, l := q.workspaces[p.WorkspaceID], q.lines[p.customer]
	mine, others := 0, len(q.workspaces)
	if ws != nil {
		mine, others = ws.all.length, others-1
	}
	if !q.free(ws, l) && now.Add(q.expectedWait(ws, l, now)+q.times.likelyMax(now)).After(p.deadline) {
		return errWait
	}
	switch share := q.limit / (others + 1); {
	case q.waiting >= q.limit && mine >= max(share, 1):
		return errQueueFull
	case q.waiting >= q.limit/2 && mine >= max(share, 1):
		return errShareUsed
	case q.waiting >= q.limit && !q.evict(mine):
		return errQueueFull
	}
	return nil
}

// free reports whether an idle writer can take another sale of ws and l immediately.
func (q *queue) free(ws *workspace, l *line) bool {
	return len(q.idle) > 0 && (l == nil || l.slot == nil) && (ws == nil || !ws.running)
}

// evict sheds the newest sale of the workspace with the most waiting sales, if it has more than n.
func (q *queue) evict(n int) bool {
	var most *workspace
	for _, ws := range q.workspaces {
		if ws.all.length > n {
			most, n = ws, ws.all.length
		}
	}
	if most == nil {
		return false
	}
	p := most.all.last
	q.remove(p)
	p.answer(nil, notRecorded(errShareUsed))
	q.unlock(p)
	return true
}

// expectedWait returns how long another sale of the workspace and customer would wait before it is
// sent. A nil ws or l has no sales in the queue.
func (q *queue) expectedWait(ws *workspace, l *line, now time.Time) time.Duration {
	usual := q.times.usual(now)
	if q.free(ws, l) || usual == 0 {
		return 0
	}
	ahead, writers := 0, 0
	patience := q.patience(now)
	for _, s := range q.slots {
		if s.task != noTask && s.overdue(patience).After(now) {
			writers++
		}
	}
	if ws != nil { // served round robin over its customers
		ahead = ws.customers
		if l != nil {
			ahead *= l.waiting.length + 1
		}
		ahead = min(ahead, ws.ready)
	}
	switch {
	case ws != nil && ws.isolated:
		ahead, writers = ahead*q.isolated.rounds(q.maxIsolated()), 1
	case len(q.idle) > 0: // the sale waits only for its customer
		ahead, writers = 0, len(q.slots)
	default: // served round robin over the workspaces
		ahead = min(q.waiting, (ahead+1)*max(len(q.workspaces), 1))
	}
	wait := usual * time.Duration(ahead/q.batch+1) / time.Duration(max(writers, 1))
	if l != nil && l.slot != nil {
		wait = max(wait, usual*time.Duration(l.waiting.length/q.batch+1))
	}
	return wait
}

// inTime reports whether a sale that is sent now is likely to be answered by its deadline. While a
// writer is idle, every sale that has just arrived counts as in time, since the estimate may be out
// of date.
func (q *queue) inTime(p *pendingSale, now time.Time) bool {
	most := q.times.likelyMax(now)
	return len(q.idle) > 0 && now.Sub(p.arrived) < most || !now.Add(most).After(p.deadline)
}

// wait returns the expected wait of another sale like p, or of an idle workspace's sale if p is
// nil.
func (q *queue) wait(p *pendingSale) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p == nil {
		return q.expectedWait(nil, nil, time.Now())
	}
	return q.expectedWait(q.workspaces[p.WorkspaceID], q.lines[p.customer], time.Now())
}

// abandon removes a sale whose caller has left, unless a batch or the slow lane has it.
func (q *queue) abandon(p *pendingSale) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.links[byWorkspace].chain == nil {
		return
	}
	q.remove(p)
	q.unlock(p)
	q.dispatch(time.Now())
}
