package apikey

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// lookupTimeout bounds a lookup: all that the store is asked, however long clients wait for it.
	lookupTimeout = 3 * time.Second
	// patience bounds the wait for the store of a client that can be served without its answer.
	patience = 700 * time.Millisecond
	// queueWait bounds the wait until the store is asked.
	queueWait = 2 * time.Second
	// firstPause follows a lookup that an event overtook; each next one is doubled.
	firstPause = time.Millisecond
	lastPause  = 512 * time.Millisecond
	// maxStrangers bounds the lookups of keys that are not cached, slotWait their wait for each other.
	maxStrangers = 6
	slotWait     = 500 * time.Millisecond
)

var (
	errClosed    = errors.New("closed")
	errMute      = errors.New("no answer from the store")
	errOvertaken = errors.New("keys change faster than they can be looked up")
	// errBusy is the edge's own doing, and says nothing about the store.
	errBusy = errors.New("too many keys are being looked up")
)

// unavailable says why a key could not be looked up.
func unavailable(why error) error { return fmt.Errorf("%w: %w", ErrUnavailable, why) }

// lookups finds keys, in this order: in the cache; among those that are known to be unknown; in the
// store, if the client's budget of guesses allows it. It owns all that is remembered between requests.
type lookups struct {
	store      Store
	ttl, stale time.Duration
	metrics    *metrics

	start     time.Time // of the monotonic clock that entries are dated by
	keys      *cache
	unknown   *unknownKeys
	guesses   *guesses
	epochs    epochs
	listening atomic.Bool

	inFlight inFlight
	slots    slots
	outage   outage
	suspects suspects

	ctx    context.Context // of the lookups in flight; ends with close
	cancel context.CancelFunc
}

func newLookups(store Store, o Options, m *metrics) (*lookups, error) {
	unknown, err := newUnknownKeys()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	now := func() time.Duration { return time.Since(start) }
	guesses, err := newGuesses(o.Guesses, now)
	if err != nil {
		return nil, err
	}
	l := &lookups{
		store:    store,
		ttl:      o.TTL,
		stale:    o.Stale,
		metrics:  m,
		start:    start,
		unknown:  unknown,
		guesses:  guesses,
		inFlight: newInFlight(o.Size),
		slots:    make(slots, maxStrangers),
		outage:   newOutage(o.Logger),
		suspects: newSuspects(o.Logger),
	}
	// Longer than an entry may be used: it still distinguishes a known key from a guess.
	l.keys = newCache(o.Size, o.TTL+max(o.Stale, 0), now)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l, nil
}

func (l *lookups) close() {
	l.inFlight.close(l.cancel)
	l.suspects.close()
	l.keys.close()
}

// now returns the time on the clock that entries are dated by.
func (l *lookups) now() time.Duration { return time.Since(l.start) }

// find returns the entry of a key, from the cache if that may be used, or ErrNotFound.
func (l *lookups) find(ctx context.Context, hash Hash, client string) (*entry, error) {
	now := l.now() // once: it costs nearly as much as finding the entry
	cached, settled := l.recall(hash, now)
	switch {
	case !settled && cached == nil:
		return l.lookUp(ctx, hash, client, nil)
	case !settled:
		return l.verify(ctx, cached, client, now)
	case cached == nil:
		return nil, ErrNotFound
	}
	return cached, nil
}

// recall returns what is cached of a key, nil for nothing. If settled the store need not be asked:
// nothing then means that there is no such key.
func (l *lookups) recall(hash Hash, now time.Duration) (cached *entry, settled bool) {
	cached = l.keys.get(hash, now)
	if cached != nil && l.fresh(cached, now) {
		return cached, true
	}
	asked, ok := l.unknown.get(hash, now)
	if ok && !l.epochs.concernUnknown(hash, asked) && !l.epochs.listened(asked) {
		return nil, true
	}
	return cached, false
}

// verify asks the store for a key again, and falls back on what is cached if that may be used stale.
// While the store is known to fail no client waits for it.
func (l *lookups) verify(ctx context.Context, cached *entry, client string, now time.Duration) (*entry, error) {
	hash := cached.key.Hash
	if l.usableStale(cached, now) && l.outage.lasts(now) {
		if l.outage.probe() {
			l.join(hash, nil)
		}
		l.metrics.stale.Inc()
		return cached, nil
	}
	found, err := l.lookUp(ctx, hash, client, cached)
	if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
		return found, err
	}
	// Judged again: the key may have been revoked while the store was waited for.
	now = l.now()
	if !l.usableStale(cached, now) {
		return nil, err
	}
	// A busy edge is no outage: it does not prolong what a deaf one promises.
	if errors.Is(err, errBusy) && !l.outage.lasts(now) && now-cached.checked >= deafTrust {
		return nil, err
	}
	l.metrics.stale.Inc()
	return cached, nil
}

// lookUp asks the store, and asks again if an event overtook the answer: what was true before a
// revocation must not be used after it. cached is what is known of the key, nil for nothing.
func (l *lookups) lookUp(ctx context.Context, hash Hash, client string, cached *entry) (*entry, error) {
	for pause := firstPause; pause <= lastPause; pause *= 2 {
		p, err := l.begin(ctx, hash, client, cached != nil)
		if err != nil {
			return nil, err
		}
		if err := l.await(ctx, p, cached); err != nil {
			return nil, unavailable(err)
		}
		e, err := p.entry, p.err
		if err == nil && l.overtaken(e) {
			err = errOvertaken
		}
		if !errors.Is(err, errOvertaken) {
			return e, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, unavailable(context.Cause(ctx))
		}
	}
	return nil, unavailable(errOvertaken)
}

// await waits until a lookup is done. It bounds the wait until the store is asked and, for a client that
// can be served without it, the wait for the answer.
func (l *lookups) await(ctx context.Context, p *lookup, cached *entry) error {
	began := l.now()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-p.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		now := l.now()
		usable := cached != nil && l.usableStale(cached, now)
		sent, asked := p.sentAt()
		switch {
		case !asked && usable && l.outage.lasts(now):
			return errMute // to those ahead
		case !asked && now < began+queueWait:
			timer.Reset(min(began+queueWait-now, patience))
		case !asked:
			return errBusy
		case now < sent+patience:
			timer.Reset(sent + patience - now)
		case usable:
			l.outage.began(now, errMute)
			return errMute
		case cached != nil:
			l.outage.began(now, errMute)
		}
	}
}

// slots bound the lookups of keys that are not cached. Cached keys have their own batches, so that no
// flood of guesses keeps them waiting.
type slots chan struct{}

// acquire waits a moment for a slot.
func (s slots) acquire(ctx context.Context) (release func(), err error) {
	timeout := time.NewTimer(slotWait)
	defer timeout.Stop()
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-timeout.C:
		return nil, errBusy
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
