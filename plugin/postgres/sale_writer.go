package postgres

import (
	"runtime"
	"sync/atomic"
)

// saleWriter commits, batch after batch, the sales that wait for it.
type saleWriter struct {
	store  *SaleStore
	queue  *saleQueue
	runner *saleRunner
	batch  []*pendingSale
	ailing atomic.Bool // it could not connect when it last tried
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
		// Callers that are ready to join this batch come first. On an idle edge there are none, and this costs nothing.
		runtime.Gosched()
		err := session.ready(w.store.cut)
		w.ailing.Store(err != nil)
		if err != nil {
			w.batch = w.queue.take(w.batch[:0], w.queue.len())
			w.queue.putBack(w.runner.unreachable(w.batch, err))
			session.pause(w.store.cut)
		} else {
			w.batch = w.queue.take(w.batch[:0], w.store.options.Batch)
			w.queue.putBack(w.runner.record(w.batch))
		}
		clear(w.batch)
	}
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
