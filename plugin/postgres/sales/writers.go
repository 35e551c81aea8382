package sales

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"hoko.to/edge/plugin/postgres"
)

// customerSlots is how many groups the customers are kept in.
const customerSlots = 1024

// writers shares the sales out among the writers. One that is free to go
// anywhere goes to the first writer that has less than a batch waiting: the
// fewer writers work, the larger their batches, and the less of Postgres each
// sale takes. A further writer is only called on by a backlog.
//
// While a customer has a sale under way its further ones follow that to the
// same writer, so that an edge does not trip over itself.
type writers struct {
	all   []*writer
	batch int
	seed  maphash.Seed

	mu    sync.Mutex
	slots [customerSlots]customerSlot
}

// customerSlot is the writer of the customers that hash to it.
type customerSlot struct {
	writer *writer
	sales  int // under way; without any the writer may change
}

func newWriters(s *shared, slow *slowLane, connector *postgres.Connector) *writers {
	all := &writers{batch: s.options.Batch, seed: maphash.MakeSeed()}
	for range s.options.Writers {
		all.all = append(all.all, newWriter(s, slow, connector))
	}
	return all
}

// enter is the writer of a customer's sale, until the slot is left.
func (s *writers) enter(customer customerKey) (*writer, *customerSlot) {
	slot := &s.slots[maphash.Comparable(s.seed, customer)%customerSlots]
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot.sales == 0 {
		slot.writer = s.free()
	}
	slot.sales++
	return slot.writer, slot
}

func (s *writers) leave(slot *customerSlot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot.sales--
}

// free is the first well writer that has less than a batch waiting, or else
// the one with the shortest queue: of those with room, and of them the well.
func (s *writers) free() *writer {
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

const (
	// ailsFor is how long a failure to connect keeps further sales away from a writer, if others can have them.
	ailsFor = time.Second
	// stuckAfter a batch that is still under way does so too: its statement waits for something.
	stuckAfter = 100 * time.Millisecond
)

// writer commits, batch after batch, the sales that wait for it.
type writer struct {
	*shared
	queue  *queue
	slow   *slowLane
	runner *runner
	batch  []*pendingSale
	failed atomic.Int64 // when it last could not connect, and
	began  atomic.Int64 // when it began what is under way, in Unix nanoseconds; 0 for never, and nothing
}

func newWriter(s *shared, slow *slowLane, connector *postgres.Connector) *writer {
	w := &writer{shared: s, slow: slow, queue: newQueue((s.options.Queue + s.options.Writers - 1) / s.options.Writers)}
	w.runner = newRunner(s, newSession(s, connector, saleSQL))
	return w
}

// run is the writer's goroutine, which the store starts and awaits.
func (w *writer) run() {
	session := w.runner.session
	defer session.drop()
	for w.queue.await() {
		w.began.Store(time.Now().UnixNano())
		if err := session.ready(w.ctx); err != nil {
			w.failed.Store(time.Now().UnixNano())
			w.batch = w.queue.take(w.batch[:0], w.queue.len())
			w.queue.putBack(w.runner.unreachable(w.batch, err))
			session.pause(w.ctx)
		} else {
			w.batch = w.queue.take(w.batch[:0], w.options.Batch)
			again, missed := w.runner.record(w.batch)
			w.queue.putBack(w.retain(again, missed))
		}
		clear(w.batch)
		w.began.Store(0)
	}
}

// well is false of a writer whose next batch would have to wait.
func (w *writer) well(now time.Time) bool {
	if now.UnixNano()-w.failed.Load() < int64(ailsFor) {
		return false
	}
	began := w.began.Load()
	return began == 0 || now.UnixNano()-began < int64(stuckAfter)
}

// retain adds to again the missed sales whose customer was busy for the first time, as the next
// batch often finds it free, and sends the others to the slow lane.
func (w *writer) retain(again []*pendingSale, missed []missed) []*pendingSale {
	for _, m := range missed {
		switch {
		case m.why == customerBusy && m.misses < 2:
			again = append(again, m.pendingSale)
		case !w.slow.add(m.pendingSale, m.why == customerNew):
			w.metrics.shed.Inc()
			m.fail(notRecorded(errFull))
		}
	}
	return again
}
