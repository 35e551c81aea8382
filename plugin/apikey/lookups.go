package apikey

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"hoko.to/edge/plugin/tracing"
)

const (
	// lookupTimeout bounds all queries of a lookup, even if no request waits for it anymore.
	lookupTimeout = 3 * time.Second
	// answerWait bounds how long a request that can use a stale key waits for the store's answer.
	answerWait = 700 * time.Millisecond
	// queueWait bounds how long a request waits until its lookup is sent.
	queueWait = 2 * time.Second
	// minRetryDelay follows the first lookup that an event overtook; the delay doubles each time.
	minRetryDelay = time.Millisecond
	maxRetryDelay = 512 * time.Millisecond
	// maxUncached bounds the concurrent lookups of uncached keys.
	maxUncached = 6
	// slotWait bounds how long a lookup of an uncached key waits for others.
	slotWait = 500 * time.Millisecond
)

var (
	errClosed    = errors.New("authenticator is closed")
	errNoAnswer  = errors.New("the store has not answered in time")
	errOvertaken = errors.New("keys change faster than they can be looked up")
	// errBusy does not count as an outage of the store.
	errBusy = errors.New("too many keys are being looked up")
)

func unavailable(cause error) error { return fmt.Errorf("%w: %w", ErrUnavailable, cause) }

// lookups finds keys in the cache, among the keys remembered as unknown, or in the store. It holds
// all state that requests share.
type lookups struct {
	store      Store
	ttl, stale time.Duration
	metrics    *metrics

	start      time.Time     // the zero of now
	intoMinute time.Duration // how long the wall clock's minute had lasted at start
	uses       Uses          // may be nil
	keys       *cache
	unknown    *unknownKeys
	guesses    *guesses
	epochs     epochs
	listenerUp atomic.Bool

	inFlight inFlight
	slots    slots
	outage   outage
	changes  unannouncedChanges

	ctx    context.Context // of the lookups in flight; canceled by close
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
		store:      store,
		ttl:        o.TTL,
		stale:      o.Stale,
		metrics:    m,
		start:      start,
		intoMinute: start.Sub(start.Truncate(time.Minute)),
		uses:       o.Uses,
		unknown:    unknown,
		guesses:    guesses,
		inFlight:   newInFlight(o.Size),
		slots:      make(slots, maxUncached),
		outage:     newOutage(o.Logger),
		changes:    newUnannouncedChanges(o.Logger),
	}
	// Entries stay longer than they may be used, so that their keys do not count as guesses.
	l.keys = newCache(o.Size, o.TTL+max(o.Stale, 0), now)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l, nil
}

func (l *lookups) close() {
	l.inFlight.close(l.cancel)
	l.changes.close()
	l.keys.close()
}

// now returns the time since start, on the monotonic clock.
func (l *lookups) now() time.Duration { return time.Since(l.start) }

// minute returns the number of the minute of the wall clock at now, 1 for that of start.
func (l *lookups) minute(now time.Duration) uint32 {
	return 1 + uint32((l.intoMinute+now)/time.Minute)
}

// use records the use of a valid key, if it is the entry's first in this minute.
func (l *lookups) use(e *entry, now time.Duration) {
	if minute := l.minute(now); e.used.Load() != minute && e.used.Swap(minute) != minute {
		l.recordUse(e)
	}
}

func (l *lookups) recordUse(e *entry) {
	if l.uses != nil {
		l.uses.Add(e.key.ID)
	}
}

// find returns the entry of a key, and where it looked. The error is ErrNotFound or a
// *GuessesSpent, or wraps ErrUnavailable.
func (l *lookups) find(
	ctx context.Context, hash Hash, client string, now time.Duration,
) (e *entry, found Found, err error) {
	cached, current := l.cachedResult(hash, now)
	l.metrics.foundInCache(cached, current)
	switch {
	case !current && cached == nil:
		e, err = l.lookUp(ctx, hash, client, nil)
		return e, FoundByLookup, err
	case !current:
		return l.recheck(ctx, cached, client, now)
	case cached == nil:
		return nil, FoundMissing, ErrNotFound
	}
	return cached, FoundInCache, nil
}

// cachedResult returns the cached entry of a key, if any, and whether it is current. If it is nil
// but current, the store does not know the key.
func (l *lookups) cachedResult(hash Hash, now time.Duration) (cached *entry, current bool) {
	cached = l.keys.get(hash, now)
	if cached != nil && l.fresh(cached, now) {
		return cached, true
	}
	since, ok := l.unknown.get(hash, now)
	if ok && !l.epochs.unknownOutdated(hash, since) && !l.epochs.reconnectedSince(since) {
		return nil, true
	}
	return cached, false
}

// recheck looks up a cached key again. If the store does not answer, it returns the cached entry
// for as long as that may be used stale. During a known outage, no request waits for the store.
func (l *lookups) recheck(
	ctx context.Context, cached *entry, client string, now time.Duration,
) (e *entry, found Found, err error) {
	hash := cached.key.Hash
	if l.usableStale(cached, now) && l.outage.active(now) {
		if l.outage.shouldProbe() {
			l.startOrJoin(hash, nil, tracing.Span{})
		}
		l.metrics.stale.Inc()
		return cached, FoundStale, nil
	}
	e, err = l.lookUp(ctx, hash, client, cached)
	if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
		return e, FoundByLookup, err
	}
	// Check again, because the key may have been revoked meanwhile.
	now = l.now()
	if !l.usableStale(cached, now) {
		return nil, FoundByLookup, err
	}
	// A busy edge is no outage, so it must not extend listenerDownTTL.
	if errors.Is(err, errBusy) && !l.outage.active(now) && now-cached.checked >= listenerDownTTL {
		return nil, FoundByLookup, err
	}
	l.metrics.stale.Inc()
	return cached, FoundStale, nil
}

// lookUp looks up a key in the store, and repeats that if an event overtook the answer, which may
// be older than a revocation. cached is the cached entry, or nil.
func (l *lookups) lookUp(ctx context.Context, hash Hash, client string, cached *entry) (e *entry, err error) {
	span := tracing.Of(ctx).Start(lookupStep, time.Time{})
	e, err = l.lookUpCurrent(span.Context(ctx), hash, client, cached)
	span.End(time.Time{}, lookupErrorType(ctx, err))
	return e, err
}

var lookupStep = tracing.Step("key lookup")

// lookupErrorType returns the error.type of a lookup, "" if it failed only because the client left.
func lookupErrorType(ctx context.Context, err error) string {
	if errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
		return "unavailable"
	}
	return ""
}

// lookUpCurrent is lookUp without a span.
func (l *lookups) lookUpCurrent(ctx context.Context, hash Hash, client string, cached *entry) (*entry, error) {
	for delay := minRetryDelay; delay <= maxRetryDelay; delay *= 2 {
		p, err := l.startLookup(ctx, hash, client, cached != nil)
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
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, unavailable(context.Cause(ctx))
		}
	}
	return nil, unavailable(errOvertaken)
}

// await waits until a lookup is done. It bounds the wait until the lookup is sent and, if the
// cached entry can be used stale, the wait for the answer.
func (l *lookups) await(ctx context.Context, p *lookup, cached *entry) error {
	start := l.now()
	timer := time.NewTimer(answerWait)
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
		sentAt, sent := p.sentAt()
		switch {
		case !sent && usable && l.outage.active(now):
			return errNoAnswer // to the batches ahead in the queue
		case !sent && now < start+queueWait:
			timer.Reset(min(start+queueWait-now, answerWait))
		case !sent:
			return errBusy
		case now < sentAt+answerWait:
			timer.Reset(sentAt + answerWait - now)
		case usable:
			l.outage.begin(now, errNoAnswer)
			return errNoAnswer
		case cached != nil: // wait until lookupTimeout
			l.outage.begin(now, errNoAnswer)
		}
	}
}

// slots is a semaphore for the lookups of uncached keys. Cached keys do not need a slot, so a flood
// of guesses does not delay them.
type slots chan struct{}

// acquire waits for a slot, at most slotWait. The error is errBusy or the context's cause.
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
