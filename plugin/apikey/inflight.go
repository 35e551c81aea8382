package apikey

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"hoko.to/edge/plugin/tracing"
)

const (
	// batchSize bounds the keys of a batch.
	batchSize = 1024
	// maxBatches bounds the concurrent batches. With two, a hanging connection does not stop all.
	maxBatches = 2
)

// lookup is the lookup of one key, shared by all requests with that key.
type lookup struct {
	hash Hash
	// sent points to a time that the lookups of a batch share: when the batch was sent, or the
	// store last responded. It is nil before the batch is sent.
	sent  atomic.Pointer[atomic.Int64]
	span  tracing.Span  // of the request that started it, zero if none waits
	done  chan struct{} // closed when entry and err are set
	entry *entry
	err   error
}

func newLookup(hash Hash, span tracing.Span) *lookup {
	return &lookup{hash: hash, span: span, done: make(chan struct{})}
}

// sentAt returns since when the batch has waited for the store, and whether it was sent.
func (p *lookup) sentAt() (at time.Duration, sent bool) {
	batch := p.sent.Load()
	if batch == nil {
		return 0, false
	}
	return time.Duration(batch.Load()), true
}

// complete ends a lookup that was not started.
func (p *lookup) complete(e *entry, err error) *lookup {
	p.entry, p.err = e, err
	close(p.done)
	return p
}

// inFlight holds the lookups in flight, one per key. Each uncached key has its own goroutine, which
// waits for a slot. Cached keys queue for at most maxBatches workers, which end when the queue is
// empty.
type inFlight struct {
	mu       sync.Mutex
	byHash   map[Hash]*lookup
	queue    []*lookup
	maxQueue int
	workers  int
	closed   bool
	running  sync.WaitGroup // all goroutines
}

func newInFlight(maxQueue int) inFlight {
	return inFlight{byHash: map[Hash]*lookup{}, maxQueue: maxQueue}
}

// startLookup returns the lookup in flight for a key, or starts one. For an uncached key, it first
// reserves a guess of the client's budget, and may wait for it. The error is ErrNotFound or a
// *GuessesSpent, or wraps ErrUnavailable.
func (l *lookups) startLookup(ctx context.Context, hash Hash, client string, cached bool) (*lookup, error) {
	span := tracing.Of(ctx)
	if cached {
		return l.startOrJoin(hash, nil, span), nil
	}
	addr := ClientAddr(client)
	if err := l.guesses.check(addr); err != nil {
		return nil, err
	}
	if p := l.inFlight.find(hash); p != nil {
		return p, nil
	}
	budget, err := l.guesses.reserve(ctx, addr)
	if e, current := l.cachedResult(hash, l.now()); current { // looked up by another request meanwhile
		if err == nil {
			l.guesses.release(budget, false)
		}
		if e == nil {
			return nil, ErrNotFound
		}
		return newLookup(hash, span).complete(e, nil), nil
	}
	if _, spent := errors.AsType[*GuessesSpent](err); spent {
		return nil, err
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return l.startOrJoin(hash, budget, span), nil
}

// startOrJoin returns the lookup in flight for a key, or starts one, which continues even if all
// requests stop waiting for it. budget holds the reserved guess; it is nil for a cached key.
func (l *lookups) startOrJoin(hash Hash, budget *budget, span tracing.Span) *lookup {
	in := &l.inFlight
	in.mu.Lock()
	defer in.mu.Unlock()
	p, joined := in.byHash[hash]
	if !joined {
		p = newLookup(hash, span)
	}
	switch {
	case joined:
	case in.closed:
		p.complete(nil, unavailable(errClosed))
	case budget != nil:
		in.byHash[hash] = p
		in.running.Go(func() { l.lookUpUncached(p, budget) })
		return p
	case len(in.queue) == in.maxQueue:
		p.complete(nil, unavailable(errBusy))
	default:
		in.byHash[hash] = p
		in.queue = append(in.queue, p)
		if in.workers < maxBatches {
			in.workers++
			in.running.Go(l.runQueue)
		}
	}
	if budget != nil {
		l.guesses.release(budget, false)
	}
	return p
}

// find returns the lookup in flight for a key, or nil.
func (in *inFlight) find(hash Hash) *lookup {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.byHash[hash]
}

// batch dequeues up to batchSize lookups. If it returns nil, the worker must end.
func (in *inFlight) batch() []*lookup {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := min(len(in.queue), batchSize)
	if n == 0 {
		in.queue = nil
		in.workers--
		return nil
	}
	batch := in.queue[:n:n]
	in.queue = in.queue[n:]
	return batch
}

// finish makes the results available to the waiting requests. Later requests start new lookups.
func (in *inFlight) finish(batch ...*lookup) {
	in.mu.Lock()
	for _, p := range batch {
		delete(in.byHash, p.hash)
	}
	in.mu.Unlock()
	for _, p := range batch {
		close(p.done)
	}
}

// close prevents new lookups, cancels those in flight and waits for them.
func (in *inFlight) close(cancel context.CancelFunc) {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	cancel()
	in.running.Wait()
}

// lookUpUncached looks up an uncached key. It spends the reserved guess if there is no such key.
func (l *lookups) lookUpUncached(p *lookup, budget *budget) {
	defer l.inFlight.finish(p)
	defer func() { l.guesses.release(budget, errors.Is(p.err, ErrNotFound)) }()
	release, err := l.slots.acquire(l.ctx)
	if err != nil {
		p.err = unavailable(err)
		return
	}
	defer release()
	l.lookUpBatch(p)
}

// runQueue looks up queued keys in batches until the queue is empty.
func (l *lookups) runQueue() {
	for batch := l.inFlight.batch(); batch != nil; batch = l.inFlight.batch() {
		l.lookUpBatch(batch...)
		l.inFlight.finish(batch...)
	}
}

// lookUpBatch sets the result of each lookup of a batch.
func (l *lookups) lookUpBatch(batch ...*lookup) {
	ctx, cancel := context.WithTimeout(l.ctx, lookupTimeout)
	defer cancel()
	var sent atomic.Int64
	sent.Store(int64(l.now()))
	for _, p := range batch {
		p.sent.Store(&sent)
	}
	if err := l.bisect(withSpan(ctx, batch), batch); err != nil && l.ctx.Err() == nil {
		l.outage.begin(l.now(), err)
	}
}

// withSpan returns ctx with the span of the first traced request that waits for a lookup.
func withSpan(ctx context.Context, batch []*lookup) context.Context {
	for _, p := range batch {
		if p.span.Records() {
			return p.span.Context(ctx)
		}
	}
	return ctx
}

// bisect queries a batch. If the query fails but the store responds, it continues with halves of
// the batch, so that a row that cannot be read fails only its own key. An error means an outage.
func (l *lookups) bisect(ctx context.Context, batch []*lookup) error {
	err := l.query(ctx, batch)
	if err != nil && !l.storeResponds(ctx) {
		l.fail(batch, err)
		return err
	}
	batch[0].sent.Load().Store(int64(l.now())) // answerWait starts again for the original batch
	if err == nil {
		return nil
	}
	half := len(batch) / 2
	if half == 0 {
		l.fail(batch, err)
		return nil
	}
	if err := l.bisect(ctx, batch[:half]); err != nil {
		l.fail(batch[half:], err)
		return err
	}
	return l.bisect(ctx, batch[half:])
}

// storeResponds reports whether the store answers a query for no keys, which distinguishes an
// outage from a row that cannot be read.
func (l *lookups) storeResponds(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	_, err := l.store.Keys(ctx, nil)
	return err == nil
}

func (l *lookups) fail(batch []*lookup, err error) {
	for _, p := range batch {
		p.err = unavailable(err)
		l.metrics.lookedUp(err)
	}
}

// query asks the store for a batch and caches its answers.
func (l *lookups) query(ctx context.Context, batch []*lookup) error {
	now, epoch := l.now(), l.epochs.now()
	hashes := make([]Hash, len(batch))
	for i, p := range batch {
		hashes[i] = p.hash
	}
	keys, err := l.store.Keys(ctx, hashes)
	if err != nil {
		return err
	}
	l.outage.end()
	for _, p := range batch {
		p.entry, p.err = l.remember(p.hash, keys[p.hash], epoch, now)
	}
	return nil
}
