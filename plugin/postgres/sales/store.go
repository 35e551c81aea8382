// Package sales records sales in Postgres, each exactly once, by group commit: one statement
// records all sales of a batch. A sale that is certainly not recorded fails with
// sale.ErrNotRecorded; one that may be recorded fails with a sale.UnknownOutcomeError, and a retry
// with the same idempotency key finds out. ARCHITECTURE.md describes the states of a sale, the
// queue and its fairness.
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
	"hoko.to/edge/plugin/tracing"
)

var errClosed = errors.New("the sale store is closed")

// Store records sales by group commit: an idle writer takes all waiting sales, records them with
// one statement, and answers each. The next batch gathers while the previous one commits. So a sale
// on an idle edge is not delayed, and a busy edge needs fewer commits per sale.
//
// Sales whose customer is locked by another session go to a slow lane with its own connections, so
// that no other sale waits for that lock. A Store is safe for concurrent use.
type Store struct {
	*shared
	queue   *queue
	writers []*writer
	slow    *slowLane

	start    sync.Once
	mu       sync.RWMutex // guards closed, and active.Add against Close
	closed   bool
	active   sync.WaitGroup // calls of Record
	accepted atomic.Int64   // their number
	workers  sync.WaitGroup // the writers' goroutines
	cut      context.CancelFunc
}

// shared holds what the writers, the queue and the slow lane have in common.
type shared struct {
	options postgres.Options
	metrics *metrics
	ctx     context.Context // canceled when Close stops waiting; pending sales then fail
	notices notices
	times   estimate
	source  atomic.Int32 // the result of sourceSQL
	// failedAt is when a session last failed to connect, nil if one has connected since.
	failedAt atomic.Pointer[time.Time]
}

// noticeInterval is the minimum time between two log lines about the same problem.
const noticeInterval = 10 * time.Second

// notices throttles log lines that every batch could repeat; see due.
type notices struct {
	trouble  rate.Sometimes // the database cannot record sales
	lost     rate.Sometimes // a connection was lost
	settings rate.Sometimes // the sessions lack settings
	unsafe   rate.Sometimes // commits are answered before they are durable
	locked   rate.Sometimes // a session waits for a table lock
	source   rate.Sometimes // not a log line: throttles sourceSQL
}

// due reports whether to log a throttled line now. The caller logs outside the lock of line.
func due(line *rate.Sometimes) (now bool) {
	line.Do(func() { now = true })
	return now
}

var _ sale.Store = (*Store)(nil)

// NewStore returns a Store that uses the defaults for options that are zero. It returns an error if
// an option or the DSN is invalid. The store connects with its first sale; call Close to end it.
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
		trouble:  rate.Sometimes{Interval: noticeInterval},
		lost:     rate.Sometimes{Interval: noticeInterval},
		settings: rate.Sometimes{Interval: noticeInterval},
		unsafe:   rate.Sometimes{Interval: noticeInterval},
		locked:   rate.Sometimes{Interval: noticeInterval},
		source:   rate.Sometimes{Interval: time.Second},
	}}
	s.queue = newQueue(s.shared)
	s.slow = newSlowLane(s.shared, s.queue, connector)
	for _, slot := range s.queue.slots {
		s.writers = append(s.writers, newWriter(s.shared, s.queue, slot, s.slow, connector))
	}
	return s, nil
}

// statementTimeoutOf returns half of a sale's timeout. The other half remains for finding out what
// became of a hanging statement, and for a second try.
func statementTimeoutOf(o postgres.Options) time.Duration { return o.SaleTimeout / 2 }

// Record commits the sale and returns its answer; see sale.Store for the errors. If ctx has no
// deadline, it takes at most postgres.Options.SaleTimeout.
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
	p.span = tracing.Of(ctx)
	if err := s.queue.push(p); err != nil {
		return nil, s.withRetryAfter(p, err)
	}
	recorded, err, left := p.wait(ctx, s.ctx)
	timing := p.timing()
	if left {
		s.queue.abandon(p)
	} else {
		timing.Statement = p.statement
	}
	s.metrics.queue.Observe(timing.Queue.Seconds())
	if wanted.Timing != nil {
		*wanted.Timing = timing
	}
	if errors.Is(err, sale.ErrNotRecorded) {
		err = s.withRetryAfter(p, err)
	}
	return recorded, err
}

// withRetryAfter counts a sale that was shed, and adds the expected wait of another sale like it to
// the error.
func (s *Store) withRetryAfter(p *pendingSale, err error) error {
	if shed, ok := errors.AsType[*shed](err); ok {
		s.metrics.sheds[shed.reason].Inc()
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

func (s *Store) startWorkers() {
	for _, w := range s.writers {
		s.workers.Go(w.run)
	}
	s.slow.start()
}

// Close rejects new sales, waits until accepted ones are answered, and closes the connections. If
// ctx ends first, it answers the remaining sales (not recorded if they were never sent, otherwise
// unknown), still closes the connections, and returns an error that wraps ctx.Err().
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()

	answered := make(chan struct{})
	go func() { // ends with the last call of Record, which cut also ends
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
	// No caller is left, so nothing that still runs is of use.
	s.cut()
	s.queue.close()
	s.slow.close()
	s.workers.Wait()
	return err
}

// Stats is a snapshot of a Store for operators.
type Stats struct {
	Writers       int   `json:"writers"`        // connections that record batches
	Active        int64 `json:"active"`         // accepted sales without an answer
	Queued        int   `json:"queued"`         // of those, sales that no writer has taken
	SlowCustomers int   `json:"slow_customers"` // customers in the slow lane
	SlowSales     int   `json:"slow_sales"`     // sales that wait in the slow lane
	Connected     int   `json:"connected"`      // writers with a connection
	Busy          int   `json:"busy"`           // of those, writers that record a batch
	SlowConnected int   `json:"slow_connected"` // connections of the slow lane
	SlowBusy      int   `json:"slow_busy"`      // of those, connections that record sales
	// ExpectedWait is the wait, in seconds, of a sale of a workspace that has none waiting.
	ExpectedWait float64 `json:"expected_wait_seconds"`
}

// Stats returns the current snapshot.
func (s *Store) Stats() Stats {
	stats := Stats{Writers: len(s.writers), Active: s.accepted.Load(), Queued: s.queue.len()}
	stats.SlowCustomers, stats.SlowSales = s.slow.len()
	stats.Connected, stats.Busy = s.queue.connections()
	stats.SlowConnected, stats.SlowBusy = s.slow.connections()
	stats.ExpectedWait = s.queue.wait(nil).Seconds()
	return stats
}

// unreachableFor is how long the store counts as unreachable: it connects only if there are sales.
const unreachableFor = 10 * time.Second

// Unreachable reports whether the last attempt to connect has failed within the last 10 s.
func (s *Store) Unreachable() bool {
	at := s.failedAt.Load()
	return at != nil && time.Since(*at) < unreachableFor
}
