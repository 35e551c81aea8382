package postgres

import (
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// customerSlots is how many groups the customers are kept in.
const customerSlots = 1024

// saleWriters shares the sales out among the writers. One that is free to go
// anywhere goes to the first writer that has less than a batch waiting: the
// fewer writers work, the larger their batches, and the less of Postgres each
// sale takes. A further writer is only called on by a backlog.
//
// While a customer has a sale under way its further ones follow that to the
// same writer, so that an edge does not trip over itself.
type saleWriters struct {
	all   []*saleWriter
	batch int
	seed  maphash.Seed

	mu    sync.Mutex
	slots [customerSlots]customerSlot
}

// customerSlot is the writer of the customers that hash to it.
type customerSlot struct {
	writer *saleWriter
	sales  int // under way; without any the writer may change
}

func newSaleWriters(batch int) *saleWriters {
	return &saleWriters{batch: batch, seed: maphash.MakeSeed()}
}

// enter is the writer of a customer's sale, until the slot is left.
func (s *saleWriters) enter(customer customerKey) (*saleWriter, *customerSlot) {
	slot := &s.slots[maphash.Comparable(s.seed, customer)%customerSlots]
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot.sales == 0 {
		slot.writer = s.free()
	}
	slot.sales++
	return slot.writer, slot
}

func (s *saleWriters) leave(slot *customerSlot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot.sales--
}

// free is the first well writer that has less than a batch waiting, or else
// the one with the shortest queue: of those with room, and of them the well.
func (s *saleWriters) free() *saleWriter {
	const full, unwell = 1 << 40, 1 << 20 // more than any queue is long
	now, best, least := time.Now(), s.all[0], math.MaxInt
	for _, w := range s.all {
		n, well := w.queue.len(), w.well(now)
		if well && n < min(s.batch, w.queue.limit) {
			return w
		}
		if n >= w.queue.limit {
			n += full
		}
		if !well {
			n += unwell
		}
		if n < least {
			best, least = w, n
		}
	}
	return best
}
