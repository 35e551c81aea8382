package postgres

import (
	"slices"
	"sync"
)

// saleQueue holds the sales that wait for one writer, in their order.
type saleQueue struct {
	limit int

	mu       sync.Mutex
	distinct *distinct
	filled   sync.Cond // the writer waits for it
	waiting  []*pendingSale
	closed   bool
}

func newSaleQueue(limit int) *saleQueue {
	q := &saleQueue{limit: limit, distinct: newDistinct()}
	q.filled.L = &q.mu
	return q
}

// push appends a sale; false where the queue is full.
func (q *saleQueue) push(p *pendingSale) bool {
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
func (q *saleQueue) putBack(sales []*pendingSale) {
	if len(sales) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.Insert(q.waiting, 0, sales...)
	q.filled.Signal()
}

// await returns true once a sale waits, false once the queue is closed and empty.
func (q *saleQueue) await() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && !q.closed {
		q.filled.Wait()
	}
	return len(q.waiting) > 0
}

// take appends up to n of the waiting sales to dst, such as one statement can hold.
func (q *saleQueue) take(dst []*pendingSale, n int) []*pendingSale {
	q.mu.Lock()
	defer q.mu.Unlock()
	dst, q.waiting = q.distinct.take(dst, q.waiting, n)
	return dst
}

func (q *saleQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

func (q *saleQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}
