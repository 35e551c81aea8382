package sales

import (
	"slices"
	"sync"
	"time"
)

// queue holds the sales that wait for a writer. Each workspace has a FIFO of its customers, and the
// workspaces are served round robin. A customer is in at most one batch at a time: its later sales
// keep their order and join its next batch together. Sales with the same idempotency key run one
// after the other.
//
// Fewer active writers make larger batches. So another writer is assigned only if there is a
// backlog, or if the active ones take longer than statements usually take.
type queue struct {
	*shared
	limit, batch int
	slots        []*slot
	reserved     *slot // not a writer's: it holds the customers of lost sales that come next

	mu         sync.Mutex
	waiting    int // sales in chains
	ready      int // of those, sales that a shared batch can take now
	workspaces map[string]*workspace
	turns      []*workspace // those with ready sales, next one first
	lines      map[customerKey]*line
	keys       map[idempotencyKey]*chain // by key under way: the sales that wait for it; nil if none ever did
	diverted   map[customerKey]struct{}  // customers whose sales go to the slow lane
	lost       lostSales
	isolated   isolatedWorkspaces
	idle       []*slot
	timer      *time.Timer // wakes a slot for work that none has taken
	wakesAt    time.Time
	closed     bool
}

// workspace is a workspace that has sales in the queue or in a batch.
type workspace struct {
	id        string
	all       chain
	ready     int     // of those, sales whose customer is in no batch
	urgent    []*line // lines that come first: with sales that were in a batch already
	fifo      []*line // the others; both may hold lines that are no longer ready
	customers int     // that have a line in queue.lines
	inTurns   bool    // it is in a round robin
	isolated  bool    // it has separate batches
	running   bool    // one of its separate batches is under way
}

// line is a customer that has sales in the queue or in a batch.
type line struct {
	customer  customerKey
	workspace *workspace
	waiting   chain
	slot      *slot // whose batch holds the customer; nil: none; queue.reserved: lost sales
	reserve   bool  // reserve it for lost sales when its batch ends
	urgent    bool  // it has sales that were in a batch already
	queued    bool  // in urgent or fifo of its workspace
}

type idempotencyKey struct{ workspaceID, key string }

func newQueue(s *shared) *queue {
	writers := s.options.Writers
	q := &queue{
		shared: s, reserved: new(slot), limit: s.options.Queue, batch: s.options.Batch,
		workspaces: map[string]*workspace{},
		lines:      map[customerKey]*line{},
		keys:       map[idempotencyKey]*chain{},
		diverted:   map[customerKey]struct{}{},
		isolated:   isolatedWorkspaces{until: map[string]time.Time{}},
	}
	for range writers {
		q.slots = append(q.slots, &slot{wake: make(chan struct{}, 1)})
	}
	q.timer = time.AfterFunc(time.Hour, q.tick)
	q.timer.Stop()
	return q
}

// lock acquires the sale's idempotency key, or returns false if the sale must wait for another one.
func (q *queue) lock(p *pendingSale) bool {
	if p.IdempotencyKey == "" {
		return true
	}
	key := idempotencyKey{p.WorkspaceID, p.IdempotencyKey}
	others, taken := q.keys[key]
	if !taken {
		q.keys[key] = nil
		p.holdsKey = true
		return true
	}
	if others == nil {
		others = new(chain)
		q.keys[key] = others
	}
	others.append(p)
	return false
}

// unlock releases the key for the next sale that waits for it, which joins its customer's line.
func (q *queue) unlock(p *pendingSale) {
	if !p.holdsKey {
		return
	}
	p.holdsKey = false
	key := idempotencyKey{p.WorkspaceID, p.IdempotencyKey}
	others := q.keys[key]
	if others == nil || others.first == nil {
		delete(q.keys, key)
		return
	}
	next := others.first
	others.remove(next)
	next.holdsKey = true
	q.place(next, false)
}

// place adds a sale to its customer's line, at the front if it was in a batch already.
func (q *queue) place(p *pendingSale, front bool) {
	l := q.line(p.customer)
	p.line = l
	if front {
		l.waiting.prepend(p)
		l.urgent = true
	} else {
		l.waiting.append(p)
	}
	q.count(l, 1)
	q.enlist(l)
}

// enlist adds a line to its workspace's FIFO if it is ready.
func (q *queue) enlist(l *line) {
	if l.slot != nil || l.waiting.length == 0 {
		return
	}
	ws := l.workspace
	if !l.queued {
		l.queued = true
		if len(ws.fifo) > 2*ws.customers+staleRoom {
			ws.fifo = slices.DeleteFunc(ws.fifo, func(l *line) bool { return q.lines[l.customer] != l })
		}
		if l.urgent {
			ws.urgent = append(ws.urgent, l)
		} else {
			ws.fifo = append(ws.fifo, l)
		}
	}
	l.urgent = false
	q.turn(ws)
}

// staleRoom is how many unused places a list may have before they are removed.
const staleRoom = 64

// turn adds a workspace with ready sales to the round robin.
func (q *queue) turn(ws *workspace) {
	if ws.inTurns || ws.ready == 0 || ws.running {
		return
	}
	ws.inTurns = true
	turns := &q.turns
	if ws.isolated {
		turns = &q.isolated.turns
	}
	if len(*turns) > 2*len(q.workspaces)+staleRoom {
		*turns = slices.DeleteFunc(*turns, func(ws *workspace) bool { return q.workspaces[ws.id] != ws })
	}
	*turns = append(*turns, ws)
}

// count adds to the numbers of ready sales, unless the line's customer is in a batch.
func (q *queue) count(l *line, sales int) {
	if l.slot != nil {
		return
	}
	l.workspace.ready += sales
	if !l.workspace.isolated {
		q.ready += sales
	}
}

func (q *queue) remove(p *pendingSale) {
	q.waiting--
	ws := q.workspaces[p.WorkspaceID]
	ws.all.remove(p)
	p.links[byPlace].chain.remove(p)
	l := p.line
	p.line = nil
	if l == nil { // it waited for its idempotency key
		q.forget(ws)
		return
	}
	q.count(l, -1)
	q.dropIfEmpty(l)
}

// dropIfEmpty removes a line without sales that is in no batch.
func (q *queue) dropIfEmpty(l *line) {
	if l.slot != nil || l.waiting.length > 0 || q.lines[l.customer] != l {
		return
	}
	delete(q.lines, l.customer)
	l.workspace.customers--
	q.forget(l.workspace)
}

// forget removes a workspace without sales, unless a new one has taken its place.
func (q *queue) forget(ws *workspace) {
	if q.workspaces[ws.id] == ws && ws.all.length == 0 && ws.customers == 0 && !ws.running {
		delete(q.workspaces, ws.id)
	}
}

func (q *queue) workspace(id string) *workspace {
	ws := q.workspaces[id]
	if ws == nil {
		ws = &workspace{id: id, all: chain{kind: byWorkspace}, isolated: q.isolated.suspected(id)}
		q.workspaces[id] = ws
		q.isolated.count(len(q.workspaces), time.Now())
	}
	return ws
}

func (q *queue) line(customer customerKey) *line {
	l := q.lines[customer]
	if l == nil {
		l = &line{customer: customer, workspace: q.workspace(customer.workspaceID)}
		l.workspace.customers++
		q.lines[customer] = l
	}
	return l
}

func (q *queue) divert(customer customerKey, divert bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if divert {
		q.diverted[customer] = struct{}{}
	} else {
		delete(q.diverted, customer)
	}
}

// answered releases the idempotency keys of the sales that are answered or whose callers have left.
func (q *queue) answered(sales []*pendingSale) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unlockAnswered(sales)
	q.dispatch(time.Now())
}

func (q *queue) unlockAnswered(sales []*pendingSale) {
	for _, p := range sales {
		if p.isOver() {
			q.unlock(p)
		}
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.timer.Stop()
	for _, s := range q.idle {
		s.wake <- struct{}{}
	}
	q.idle = nil
}

// connections returns how many writers have a connection, and how many of those record a batch.
func (q *queue) connections() (open, busy int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.slots {
		if s.connected {
			open++
			if s.task != noTask {
				busy++
			}
		}
	}
	return open, busy
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting + q.lost.len()
}
