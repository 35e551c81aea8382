package sales

import (
	"slices"
	"sync"

	"github.com/google/uuid"
)

// queue holds the sales that wait for one writer, in their order.
type queue struct {
	limit int

	mu      sync.Mutex
	dedupe  *dedupe
	filled  sync.Cond // the writer waits for it
	waiting []*pendingSale
	closed  bool
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit, dedupe: newDedupe()}
	q.filled.L = &q.mu
	return q
}

// push appends a sale; false where the queue is full.
func (q *queue) push(p *pendingSale) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= q.limit {
		return false
	}
	q.waiting = append(q.waiting, p)
	q.filled.Signal()
	return true
}

// putBack makes sales the next to be taken. They were in already, so the limit
// does not hold for them.
func (q *queue) putBack(sales []*pendingSale) {
	if len(sales) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.Insert(q.waiting, 0, sales...)
	q.filled.Signal()
}

// await returns true once a sale waits, false once the queue is closed and empty.
func (q *queue) await() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && !q.closed {
		q.filled.Wait()
	}
	return len(q.waiting) > 0
}

// take appends up to n of the waiting sales to dst, such as one statement can hold.
func (q *queue) take(dst []*pendingSale, n int) []*pendingSale {
	q.mu.Lock()
	defer q.mu.Unlock()
	dst, q.waiting = q.dedupe.take(dst, q.waiting, n)
	return dst
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// dedupe separates what one statement must not hold twice: a sale ID and an idempotency key. The
// statement would insert both and conflict with itself.
type dedupe struct {
	ids  map[uuid.UUID]struct{}
	keys map[idempotencyKey]struct{}
}

type idempotencyKey struct{ workspaceID, key string }

func newDedupe() *dedupe {
	return &dedupe{map[uuid.UUID]struct{}{}, map[idempotencyKey]struct{}{}}
}

// take appends the first n sales that can go together to dst, in their order,
// and returns those that stay.
func (d *dedupe) take(dst, waiting []*pendingSale, n int) (taken, rest []*pendingSale) {
	clear(d.ids)
	clear(d.keys)
	rest = slices.DeleteFunc(waiting, func(p *pendingSale) bool {
		if n == 0 || !d.admit(p) {
			return false
		}
		n--
		dst = append(dst, p)
		return true
	})
	return dst, rest
}

func (d *dedupe) admit(p *pendingSale) bool {
	key := idempotencyKey{p.WorkspaceID, p.IdempotencyKey}
	if _, taken := d.ids[p.id]; taken {
		return false
	}
	if _, taken := d.keys[key]; taken {
		return false
	}
	d.ids[p.id] = struct{}{}
	if key.key != "" {
		d.keys[key] = struct{}{}
	}
	return true
}
