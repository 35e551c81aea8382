package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"hoko.to/edge/plugin/sale"
)

var (
	errClosed = errors.New("the sale store is closed")
	errFull   = errors.New("too many sales wait")
	errLate   = errors.New("its time was up")
)

// SaleStore records sales by group commit: a writer takes all sales that wait
// for it, has one statement record them, and answers each. No timer is
// involved: a batch gathers while the one before it commits, so a lone sale is
// not delayed and a busy edge amortises its commits.
//
// Sales whose customer somebody else has locked go to a slow lane with
// connections of its own, so that nobody waits for a stranger's lock.
type SaleStore struct {
	options Options
	metrics *saleMetrics
	writers *saleWriters
	slow    *slowLane

	trouble seldom // the database cannot record sales
	lost    seldom // a connection was
	unset   seldom // its sessions lack settings
	hasty   seldom // its commits are answered before they are safe
	keyless seldom // it keeps sales, and not their idempotency keys

	start    sync.Once
	mu       sync.RWMutex // guards closed, and active against Close
	closed   bool
	active   sync.WaitGroup // calls of Record
	accepted atomic.Int64   // how many of them
	workers  sync.WaitGroup // goroutines of writers and slow lane

	// cut ends what a Close did not wait for.
	cut    context.Context
	cutOff context.CancelFunc
}

var _ sale.Store = (*SaleStore)(nil)

// NewSaleStore returns a store that connects, and starts its writers, with its
// first sale. Close ends it.
func NewSaleStore(o Options) (*SaleStore, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	// Half of a sale's time leaves the other half for a second try, and for saying 503 where a stuck statement would mean 504.
	fast, err := newSaleConfig(o, o.SaleTimeout/2)
	if err != nil {
		return nil, err
	}
	slow, err := newSaleConfig(o, o.SaleTimeout)
	if err != nil {
		return nil, err
	}
	s := &SaleStore{options: o, writers: newSaleWriters(o.Batch)}
	s.cut, s.cutOff = context.WithCancel(context.Background())
	s.slow = newSlowLane(s, slow)
	for range o.Writers {
		s.writers.all = append(s.writers.all, newSaleWriter(s, fast))
	}
	s.metrics = newSaleMetrics(o.Metrics, s.waiting)
	return s, nil
}

// Record commits the sale; see sale.Store. Without a deadline in ctx it takes
// Options.SaleTimeout at most.
func (s *SaleStore) Record(ctx context.Context, wanted *sale.Sale) (*sale.Recorded, error) {
	if !s.enter() {
		return nil, notRecorded(errClosed)
	}
	defer s.leave()
	s.start.Do(s.startWorkers)

	deadline, bounded := ctx.Deadline()
	if !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.options.SaleTimeout)
		defer cancel()
		deadline, _ = ctx.Deadline()
	}
	p := newPendingSale(wanted, deadline)
	writer, slot := s.writers.enter(p.customer)
	defer s.writers.leave(slot)
	if !s.submit(p, writer) {
		s.metrics.shed.Inc()
		return nil, notRecorded(errFull)
	}
	return p.wait(ctx, s.cut)
}

// submit hands the sale to the writer, or to the slow lane where that is known
// to be creating the customer: a writer would only run into the same lock.
func (s *SaleStore) submit(p *pendingSale, w *saleWriter) bool {
	if s.slow.creates(p.customer) {
		return s.slow.add(p, true)
	}
	return w.queue.push(p)
}

func (s *SaleStore) enter() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return false
	}
	s.active.Add(1)
	s.accepted.Add(1)
	return true
}

func (s *SaleStore) leave() {
	s.accepted.Add(-1)
	s.active.Done()
}

// startWorkers starts what Close ends.
func (s *SaleStore) startWorkers() {
	for _, w := range s.writers.all {
		s.workers.Go(w.run)
	}
	for range slowLaneConns {
		s.workers.Go(s.slow.run)
	}
}

// Close refuses new sales, waits until those that were accepted are answered,
// and closes the connections. Where ctx ends before that, it answers the rest
// (not recorded where they were never sent, unknown else), closes all the same,
// and returns ctx's error.
func (s *SaleStore) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()

	answered := make(chan struct{})
	go func() { // ends with the last call of Record, which the cut ends too
		s.active.Wait()
		close(answered)
	}()
	var err error
	select {
	case <-answered:
	case <-ctx.Done():
		err = fmt.Errorf("close sale store: %w", ctx.Err())
		s.cutOff()
		<-answered
	}
	// Nobody waits any more, so whatever still runs, runs for nobody.
	s.cutOff()
	for _, w := range s.writers.all {
		w.queue.close()
	}
	s.slow.close()
	s.workers.Wait()
	return err
}
