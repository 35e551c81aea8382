package sales

import (
	"errors"
	"time"

	"hoko.to/edge/plugin/sale"
)

// Why sales are shed, as the metric says it.
const (
	shedQueue    = "queue"    // the queue is full
	shedShare    = "share"    // more than half of the queue is used, and the workspace holds more than its share
	shedWait     = "wait"     // the expected wait exceeds the time that the sale has
	shedLate     = "late"     // so little of its time is left that a statement would not end in it
	shedCustomer = "customer" // too many sales wait for the lock on its customer
)

var shedReasons = []string{shedQueue, shedShare, shedWait, shedLate, shedCustomer}

var (
	errFull = errors.New("too many sales wait")
	errLate = errors.New("its time was up")
	errWait = errors.New("the sales before it will take longer than its time")
)

// shed is why a sale is not accepted, and how long the one after it would wait.
type shed struct {
	reason string
	cause  error
	wait   time.Duration
}

// err returns what the sale's caller is told.
func (s *shed) err() error {
	return &sale.NotRecordedError{RetryAfter: s.wait, Cause: notRecorded(s.cause)}
}

// push appends a sale, or returns why it is shed.
func (q *queue) push(p *pendingSale) *shed {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if shed := q.admit(p, now); shed != nil {
		return shed
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
	wait := q.expectedWait(ws, l, now)
	mine, others := 0, len(q.workspaces)
	if ws != nil {
		mine, others = ws.all.length, others-1
	}
	if !q.free(ws, l) && now.Add(wait+q.times.most(now)).After(p.deadline) {
		return &shed{shedWait, errWait, wait}
	}
	switch share := q.limit / (others + 1); {
	case q.waiting >= q.limit && mine >= max(share, 1):
		return &shed{shedQueue, errFull, wait}
	case q.waiting >= q.limit/2 && mine >= max(share, 1):
		return &shed{shedShare, errFull, wait}
	case q.waiting >= q.limit && !q.evict(mine, now):
		return &shed{shedQueue, errFull, wait}
	}
	return nil
}

// free reports whether an idle writer can take a further sale of the workspace and customer immediately.
func (q *queue) free(ws *workspace, l *line) bool {
	return len(q.idle) > 0 && (l == nil || l.seat == nil) && (ws == nil || !ws.running)
}

// evict sheds the newest sale of the workspace that has most waiting, if that is more than so many.
func (q *queue) evict(than int, now time.Time) bool {
	var most *workspace
	for _, ws := range q.workspaces {
		if ws.all.length > than {
			most, than = ws, ws.all.length
		}
	}
	if most == nil {
		return false
	}
	p := most.all.last
	l := q.lines[p.customer]
	q.remove(p)
	if p.answer(nil, (&shed{shedShare, errFull, q.expectedWait(most, l, now)}).err()) {
		q.metrics.shed(shedShare)
	}
	q.unlock(p)
	return true
}

// expectedWait returns how long a further sale of the workspace and customer would wait before it is sent.
func (q *queue) expectedWait(ws *workspace, l *line, now time.Time) time.Duration {
	usual := q.times.usual(now)
	if q.free(ws, l) || usual == 0 {
		return 0
	}
	ahead, writers := 0, 0
	patience := q.patience(now)
	for _, s := range q.seats {
		if s.task != noTask && s.overdue(patience).After(now) {
			writers++
		}
	}
	if ws != nil {
		ahead = ws.all.length
	}
	switch {
	case ws != nil && ws.isolated:
		writers = 1
	case len(q.idle) > 0: // only the customer is waited for
		ahead, writers = 0, len(q.seats)
	default: // the workspaces take turns
		ahead = min(q.waiting, (ahead+1)*max(len(q.workspaces), 1))
	}
	wait := usual * time.Duration(ahead/q.batch+1) / time.Duration(max(writers, 1))
	if l != nil && l.seat != nil {
		wait = max(wait, usual*time.Duration(l.waiting.length/q.batch+1))
	}
	return wait
}

// inTime reports whether a sale that is sent now is likely to be answered in its time. While a writer is idle, every
// sale is that has just arrived: what the edge knows of its statements may be out of date.
func (q *queue) inTime(p *pendingSale, now time.Time) bool {
	most := q.times.most(now)
	return len(q.idle) > 0 && now.Sub(p.arrived) < most || !now.Add(most).After(p.deadline)
}

// wait returns the expected wait of a sale of a workspace that has none waiting.
func (q *queue) wait() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.expectedWait(nil, nil, time.Now())
}

// leave removes a sale whose caller has left because its time is up. It returns nil if a batch or the slow lane has it.
func (q *queue) leave(p *pendingSale) *shed {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.links[byWorkspace].chain == nil {
		return nil
	}
	q.remove(p)
	q.unlock(p)
	now := time.Now()
	q.dispatch(now)
	return &shed{shedLate, errLate, q.expectedWait(q.workspaces[p.WorkspaceID], q.lines[p.customer], now)}
}
