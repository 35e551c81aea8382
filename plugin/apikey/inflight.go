package apikey

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// batchSize bounds the known keys that the store is asked for together.
	batchSize = 1024
	// maxBatches are in flight: the second goes on if the connection of the first is stuck.
	maxBatches = 2
)

// lookup is one in flight, shared by all requests that want the same key.
type lookup struct {
	hash Hash
	// sent is when, on the lookups' clock, the store was asked for the batch or last answered; nil before.
	sent  atomic.Pointer[atomic.Int64]
	done  chan struct{} // closed when entry and err may be read
	entry *entry
	err   error
}

func newLookup(hash Hash) *lookup { return &lookup{hash: hash, done: make(chan struct{})} }

// sentAt returns since when the store has been silent, if it was asked.
func (p *lookup) sentAt() (at time.Duration, sent bool) {
	batch := p.sent.Load()
	if batch == nil {
		return 0, false
	}
	return time.Duration(batch.Load()), true
}

// answered notes that the store did, though perhaps not what it was asked: the whole batch waits anew.
func (p *lookup) answered(now time.Duration) { p.sent.Load().Store(int64(now)) }

// end ends a lookup that never began.
func (p *lookup) end(e *entry, err error) *lookup {
	p.entry, p.err = e, err
	close(p.done)
	return p
}

// inFlight holds the lookups in flight, one per key. A key that is not cached is looked up by its own
// goroutine, which waits for a slot. Known keys queue: at most maxBatches goroutines take what has
// gathered, and end with the queue.
type inFlight struct {
	mu      sync.Mutex
	byHash  map[Hash]*lookup
	queue   []*lookup
	limit   int // of the queue
	workers int // goroutines that work the queue off
	closed  bool
	running sync.WaitGroup // all goroutines
}

func newInFlight(limit int) inFlight { return inFlight{byHash: map[Hash]*lookup{}, limit: limit} }

// begin joins the lookup of a key, or starts it. A key that is not known costs its client a guess if
// nothing is found, so begin waits while others hold what is left of the client's budget. The error is
// a *GuessesSpent, or wraps ErrUnavailable.
func (l *lookups) begin(ctx context.Context, hash Hash, client string, known bool) (*lookup, error) {
	if known {
		return l.join(hash, nil), nil
	}
	addr := clientAddr(client)
	if err := l.guesses.check(addr); err != nil {
		return nil, err
	}
	if p := l.inFlight.find(hash); p != nil {
		return p, nil
	}
	budget, err := l.guesses.hold(ctx, addr)
	if e, settled := l.recall(hash, l.now()); settled { // by another request's lookup
		if err == nil {
			l.guesses.end(budget, false)
		}
		if e == nil {
			return nil, ErrNotFound
		}
		return newLookup(hash).end(e, nil), nil
	}
	if _, spent := errors.AsType[*GuessesSpent](err); spent {
		return nil, err
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return l.join(hash, budget), nil
}

// join starts the lookup of a key, or joins the one in flight. It ends by itself, whether any client
// waits for it or not. budget is where one guess is held for it, nil for a known key.
func (l *lookups) join(hash Hash, budget *budget) *lookup {
	in := &l.inFlight
	in.mu.Lock()
	defer in.mu.Unlock()
	p, joined := in.byHash[hash]
	if !joined {
		p = newLookup(hash)
	}
	switch {
	case joined:
	case in.closed:
		p.end(nil, unavailable(errClosed))
	case budget != nil:
		in.byHash[hash] = p
		in.running.Go(func() { l.load(p, budget) })
		return p
	case len(in.queue) == in.limit:
		p.end(nil, unavailable(errBusy))
	default:
		in.byHash[hash] = p
		in.queue = append(in.queue, p)
		if in.workers < maxBatches {
			in.workers++
			in.running.Go(l.verifyQueued)
		}
	}
	if budget != nil {
		l.guesses.end(budget, false)
	}
	return p
}

// find returns the lookup of a key that is in flight, nil for none.
func (in *inFlight) find(hash Hash) *lookup {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.byHash[hash]
}

// batch takes the first of the queue. The worker that gets none ends.
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

// finish hands the results over. A request that joins from now on begins another lookup.
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

// close lets no more begin, ends those in flight and waits for them.
func (in *inFlight) close(end func()) {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	end()
	in.running.Wait()
}

// load looks up a key that is not cached. It pays the guess that is held if nothing is found.
func (l *lookups) load(p *lookup, budget *budget) {
	defer l.inFlight.finish(p)
	defer func() { l.guesses.end(budget, errors.Is(p.err, ErrNotFound)) }()
	release, err := l.slots.acquire(l.ctx)
	if err != nil {
		p.err = unavailable(err)
		return
	}
	defer release()
	l.ask(p)
}

// verifyQueued asks for all that queues, batch by batch.
func (l *lookups) verifyQueued() {
	for batch := l.inFlight.batch(); batch != nil; batch = l.inFlight.batch() {
		l.ask(batch...)
		l.inFlight.finish(batch...)
	}
}

// ask gives each of a batch its result.
func (l *lookups) ask(batch ...*lookup) {
	ctx, cancel := context.WithTimeout(l.ctx, lookupTimeout)
	defer cancel()
	var sent atomic.Int64
	sent.Store(int64(l.now()))
	for _, p := range batch {
		p.sent.Store(&sent)
	}
	if err := l.askByHalves(ctx, batch); err != nil && l.ctx.Err() == nil {
		l.outage.began(l.now(), err)
	}
}

// askByHalves asks for the halves of a batch that failed, and so on: a row that cannot be read is no
// outage, and must not take a thousand keys with it. The error is of a store that cannot answer at all.
func (l *lookups) askByHalves(ctx context.Context, batch []*lookup) error {
	err := l.query(ctx, batch)
	if err != nil && !l.answers(ctx) {
		l.failed(batch, err)
		return err
	}
	batch[0].answered(l.now())
	if err == nil {
		return nil
	}
	half := len(batch) / 2
	if half == 0 {
		l.failed(batch, err)
		return nil
	}
	if err := l.askByHalves(ctx, batch[:half]); err != nil {
		l.failed(batch[half:], err)
		return err
	}
	return l.askByHalves(ctx, batch[half:])
}

// answers distinguishes a store that could not answer what it was asked from one that cannot answer: it
// is asked for nothing.
func (l *lookups) answers(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	_, err := l.store.Keys(ctx, nil)
	return err == nil
}

func (l *lookups) failed(batch []*lookup, err error) {
	for _, p := range batch {
		p.err = unavailable(err)
		l.metrics.lookedUp(err)
	}
}

// query asks the store once, and remembers what it answers.
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
	l.outage.ended()
	for _, p := range batch {
		p.entry, p.err = l.remember(p.hash, keys[p.hash], epoch, now)
	}
	return nil
}
