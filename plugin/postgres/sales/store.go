// Package sales records sales in Postgres, each exactly once, by group commit: one statement
// records all sales of a batch. ARCHITECTURE.md describes the states of a sale, the queue and its
// fairness.
package sales

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/sale"
)

var errClosed = errors.New("the sale store is closed")

// Store records sales by group commit: an idle writer takes all sales that wait, has one statement
// record them, and answers each. A batch gathers while the one before it
// commits, so a lone sale is not delayed and a busy edge amortizes its commits.
//
// Sales whose customer another session has locked go to a slow lane with connections of its own, so
// that no other sale waits for that lock.
type Store struct {
	*shared
	queue   *queue
	writers []*writer
	slow    *slowLane

	start    sync.Once
	mu       sync.RWMutex // guards closed, and active against Close
	closed   bool
	active   sync.WaitGroup // calls of Record
	accepted atomic.Int64   // how many of them
	workers  sync.WaitGroup // goroutines of the writers
	cut      context.CancelFunc
}

// shared is what the parts of a store have in common.
type shared struct {
	options postgres.Options
	metrics *metrics
	ctx     context.Context // canceled when Close stops waiting; pending sales then fail
	notices notices
	times   estimate
	source  atomic.Int32 // what sourceSQL has found
}

// noticeInterval is at least between two log lines about the same trouble.
const noticeInterval = 10 * time.Second

// notices throttles the log lines that could repeat with every batch; see due.
type notices struct {
	trouble rate.Sometimes // the database cannot record sales
	lost    rate.Sometimes // a connection was lost
	unset   rate.Sometimes // its sessions lack settings
	hasty   rate.Sometimes // its commits are answered before they are safe
	locked  rate.Sometimes // a lock on a table is waited for
	source  rate.Sometimes // whether anything can earn a sale is asked for
}

// due reports whether a throttled line is to be logged now. The log is not written under its lock.
func due(line *rate.Sometimes) (now bool) {
	line.Do(func() { now = true })
	return now
}

var _ sale.Store = (*Store)(nil)

// NewStore returns a Store that connects, and starts its writers, with its first sale. Close ends it.
func NewStore(o postgres.Options) (*Store, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	connector, err := postgres.NewConnector(o.DSN, sessionSettings(statementTimeoutOf(o)))
	if err != nil {
		return nil, err
	}
	ctx, cut := context.WithCancel(context.Background())
	s := &Store{cut: cut}
	s.shared = &shared{options: o, metrics: newMetrics(o.Metrics), ctx: ctx, notices: notices{
		trouble: rate.Sometimes{Interval: noticeInterval},
		lost:    rate.Sometimes{Interval: noticeInterval},
		unset:   rate.Sometimes{Interval: noticeInterval},
		hasty:   rate.Sometimes{Interval: noticeInterval},
		locked:  rate.Sometimes{Interval: noticeInterval},
		source:  rate.Sometimes{Interval: time.Second},
	}}
	s.queue = newQueue(s.shared)
	s.slow = newSlowLane(s.shared, s.queue, connector)
	for _, seat := range s.queue.seats {
		s.writers = append(s.writers, newWriter(s.shared, s.queue, seat, s.slow, connector))
	}
	registerQueue(o.Metrics, s.waiting, func() time.Duration { return s.queue.wait(nil) })
	return s, nil
}

// statementTimeoutOf returns half of a sale's time: it leaves the other half for asking what became of a statement
// that hangs, and for a second try.
func statementTimeoutOf(o postgres.Options) time.Duration { return o.SaleTimeout / 2 }

// Record commits the sale; see sale.Store. Without a deadline in ctx it takes
// postgres.Options.SaleTimeout at most.
func (s *Store) Record(ctx context.Context, wanted *sale.Sale) (*sale.Recorded, error) {
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
	if err := s.queue.push(p); err != nil {
		return nil, s.refused(p, err)
	}
	recorded, err, left := p.wait(ctx, s.ctx)
	if left {
		s.queue.leave(p)
	}
	if errors.Is(err, sale.ErrNotRecorded) {
		err = s.refused(p, err)
	}
	return recorded, err
}

// refused counts a sale that was shed, and adds to its error how long the next one like it may wait.
func (s *Store) refused(p *pendingSale, err error) error {
	if shed, ok := errors.AsType[*shed](err); ok {
		s.metrics.sheds.WithLabelValues(shed.reason).Inc()
	}
	return &sale.NotRecordedError{RetryAfter: max(s.queue.wait(p), s.slow.wait(p.customer)), Cause: err}
}

func (s *Store) enter() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return false
	}
	s.active.Add(1)
	s.accepted.Add(1)
	return true
}

func (s *Store) leave() {
	s.accepted.Add(-1)
	s.active.Done()
}

// startWorkers starts what Close ends.
func (s *Store) startWorkers() {
	for _, w := range s.writers {
		s.workers.Go(w.run)
	}
	s.slow.start()
}

// Close refuses new sales, waits until those that were accepted are answered,
// and closes the connections. Where ctx ends before that, it answers the rest
// (not recorded where they were never sent, unknown else), closes all the same,
// and returns ctx's error.
func (s *Store) Close(ctx context.Context) error {
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
		s.cut()
		<-answered
	}
	// Nobody waits any more, so whatever still runs, runs for nobody.
	s.cut()
	s.queue.close()
	s.slow.close()
	s.workers.Wait()
	return err
}

// Stats is a snapshot of a Store for an operator.
type Stats struct {
	Writers       int   `json:"writers"`        // connections for batches
	Active        int64 `json:"active"`         // sales accepted and not yet answered
	Queued        int   `json:"queued"`         // of those, not yet taken by a writer
	SlowCustomers int   `json:"slow_customers"` // customers in the slow lane
	SlowSales     int   `json:"slow_sales"`     // sales that wait for them
}

// Stats of this moment.
func (s *Store) Stats() Stats {
	stats := Stats{Writers: len(s.writers), Active: s.accepted.Load(), Queued: s.queue.len()}
	stats.SlowCustomers, stats.SlowSales = s.slow.len()
	return stats
}

// waiting is how many sales are not on their way.
func (s *Store) waiting() int {
	stats := s.Stats()
	return stats.Queued + stats.SlowSales
}
