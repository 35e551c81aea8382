package postgres

import (
	"sync/atomic"
	"time"
)

const (
	// ailsFor is how long a failure to connect keeps further sales away from a writer, if others can have them.
	ailsFor = time.Second
	// stuckAfter a batch that is still under way does so too: its statement waits for something.
	stuckAfter = 100 * time.Millisecond
)

// saleWriter commits, batch after batch, the sales that wait for it.
type saleWriter struct {
	store  *SaleStore
	queue  *saleQueue
	runner *saleRunner
	batch  []*pendingSale
	failed atomic.Int64 // when it last could not connect, and
	began  atomic.Int64 // when it began what is under way, in Unix nanoseconds; 0 for never, and nothing
}

func newSaleWriter(s *SaleStore, config *saleConfig) *saleWriter {
	w := &saleWriter{store: s, queue: newSaleQueue((s.options.Queue + s.options.Writers - 1) / s.options.Writers)}
	w.runner = newSaleRunner(s, newSaleSession(s, config, saleSQL), w.missed)
	return w
}

// run is the writer's goroutine, which the store starts and awaits.
func (w *saleWriter) run() {
	session := w.runner.session
	defer session.close()
	for w.queue.await() {
		w.began.Store(time.Now().UnixNano())
		if err := session.ready(w.store.cut); err != nil {
			w.failed.Store(time.Now().UnixNano())
			w.batch = w.queue.take(w.batch[:0], w.queue.len())
			w.queue.putBack(w.runner.unreachable(w.batch, err))
			session.pause(w.store.cut)
		} else {
			w.batch = w.queue.take(w.batch[:0], w.store.options.Batch)
			w.queue.putBack(w.runner.record(w.batch))
		}
		clear(w.batch)
		w.began.Store(0)
	}
}

// well is false of a writer whose next batch would have to wait.
func (w *saleWriter) well(now time.Time) bool {
	if now.UnixNano()-w.failed.Load() < int64(ailsFor) {
		return false
	}
	began := w.began.Load()
	return began == 0 || now.UnixNano()-began < int64(stuckAfter)
}

// missed sends a sale to the slow lane, but for one whose customer was busy for
// the first time: the next batch often finds it free.
func (w *saleWriter) missed(p *pendingSale, why miss) (again bool) {
	if why == customerBusy && p.misses < 2 {
		return true
	}
	if !w.store.slow.add(p, why == customerNew) {
		w.store.metrics.shed.Inc()
		p.fail(notRecorded(errFull))
	}
	return false
}
