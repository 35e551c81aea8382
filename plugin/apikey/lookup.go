package apikey

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// lookupTimeout bounds a lookup, whatever becomes of the clients that wait for it.
	lookupTimeout = 3 * time.Second
	// patience bounds the wait for the store of a client that can be served without its answer.
	patience = 700 * time.Millisecond
	// queueWait bounds the wait until the store is asked.
	queueWait = 2 * time.Second
	// firstPause follows a lookup that an event overtook; each next one is doubled.
	firstPause = time.Millisecond
	lastPause  = 512 * time.Millisecond
)

var (
	errClosed    = errors.New("closed")
	errMute      = errors.New("no answer from the store")
	errOvertaken = errors.New("keys change faster than they can be looked up")
)

// unavailable says why a key could not be looked up.
func unavailable(why error) error { return fmt.Errorf("%w: %w", ErrUnavailable, why) }

// lookUp asks the store, and asks again where an event overtook the answer: what
// was true before a revocation must not be used after it. cached is what is known
// of the key, nil for nothing.
func (a *Authenticator) lookUp(ctx context.Context, hash Hash, client string, cached *entry) (*entry, error) {
	for pause := firstPause; pause <= lastPause; pause *= 2 {
		if cached == nil {
			if err := a.guesses.check(clientAddr(client), a.now()); err != nil {
				return nil, err
			}
		}
		f, own := a.join(hash, client, cached != nil)
		if err := a.await(ctx, f, cached); err != nil {
			return nil, unavailable(err)
		}
		e, err := f.entry, f.err
		if _, spent := errors.AsType[*GuessesSpent](err); spent && !own {
			continue // it was another client's budget
		}
		if err == nil && a.overtaken(e) {
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

// await waits until a flight has landed, but only so long for the store to be
// asked; and for its answer, a client that can be served without, no longer than
// it must.
func (a *Authenticator) await(ctx context.Context, f *flight, cached *entry) error {
	began := a.now()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-f.landed:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		now := a.now()
		usable := cached != nil && a.usableStale(cached, now)
		sent, asked := f.sentAt()
		switch {
		case !asked && usable && a.outage.lasts(now):
			return errMute // to those ahead
		case !asked && now < began+queueWait:
			timer.Reset(min(began+queueWait-now, patience))
		case !asked:
			return errBusy
		case now < sent+patience:
			timer.Reset(sent + patience - now)
		case usable:
			a.outage.began(now, errMute)
			return errMute
		case cached != nil:
			a.outage.began(now, errMute)
		}
	}
}

// load looks up a key that is not cached, for a client: it costs a guess where
// nothing is found.
func (a *Authenticator) load(f *flight, client string) {
	defer a.flights.land(f)
	release, err := a.slots.acquire(a.ctx)
	if err != nil {
		f.err = unavailable(err)
		return
	}
	defer release()
	budget, err := a.guesses.hold(clientAddr(client), a.now())
	if err != nil {
		f.err = err
		return
	}
	a.ask(f)
	a.guesses.settle(budget, errors.Is(f.err, ErrNotFound), a.now())
}

// verifyQueued asks for all that queues, batch by batch.
func (a *Authenticator) verifyQueued() {
	for batch := a.flights.batch(); batch != nil; batch = a.flights.batch() {
		a.ask(batch...)
		a.flights.land(batch...)
	}
}

// ask gives each of a batch its result.
func (a *Authenticator) ask(batch ...*flight) {
	ctx, cancel := context.WithTimeout(a.ctx, lookupTimeout)
	defer cancel()
	var sent atomic.Int64
	sent.Store(int64(a.now()))
	for _, f := range batch {
		f.sent.Store(&sent)
	}
	if err := a.askByHalves(ctx, batch); err != nil && a.ctx.Err() == nil {
		a.outage.began(a.now(), err)
	}
}

// askByHalves asks for the halves of a batch that failed, and so on: a row that
// cannot be read is no outage, and must not take a thousand keys with it. The
// error is of a store that cannot answer at all.
func (a *Authenticator) askByHalves(ctx context.Context, batch []*flight) error {
	err := a.query(ctx, batch)
	if err != nil && !a.answers(ctx) {
		a.failed(batch, err)
		return err
	}
	batch[0].answered(a.now())
	if err == nil {
		return nil
	}
	half := len(batch) / 2
	if half == 0 {
		a.failed(batch, err)
		return nil
	}
	if err := a.askByHalves(ctx, batch[:half]); err != nil {
		a.failed(batch[half:], err)
		return err
	}
	return a.askByHalves(ctx, batch[half:])
}

// answers tells a store that could not answer what it was asked from one that
// cannot answer: it is asked for nothing.
func (a *Authenticator) answers(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	_, err := a.store.Keys(ctx, nil)
	return err == nil
}

func (a *Authenticator) failed(batch []*flight, err error) {
	for _, f := range batch {
		f.err = unavailable(err)
		a.metrics.lookedUp(err)
	}
}

// query asks the store once, and remembers what it answers.
func (a *Authenticator) query(ctx context.Context, batch []*flight) error {
	now := a.now()
	hashes, epochs := make([]Hash, len(batch)), make([]epoch, len(batch))
	for i, f := range batch {
		hashes[i], epochs[i] = f.hash, a.epochs.of(f.hash)
	}
	keys, err := a.store.Keys(ctx, hashes)
	if err != nil {
		return err
	}
	a.outage.ended()
	for i, f := range batch {
		f.entry, f.err = a.remember(f.hash, keys[f.hash], epochs[i], now)
	}
	return nil
}

// remember judges what the store answered about a key, nil for nothing.
func (a *Authenticator) remember(hash Hash, key *Key, epoch epoch, asked time.Duration) (*entry, error) {
	var missing error
	if key == nil {
		missing = ErrNotFound
	}
	a.metrics.lookedUp(missing)
	if a.epochs.of(hash).events != epoch.events {
		return nil, errOvertaken
	}
	if missing != nil {
		a.forget(hash, epoch, asked)
		return nil, missing
	}
	e := newEntry(key, hash, epoch, asked)
	if err := a.keys.put(e); err != nil {
		return nil, unavailable(err)
	}
	return e, nil
}

// forget remembers that the store does not know the key.
func (a *Authenticator) forget(hash Hash, epoch epoch, asked time.Duration) {
	if a.keys.get(hash, asked) != nil {
		// It must not come back as a stale one.
		a.epochs.retire(hash)
		epoch.events++
	}
	a.unknown.put(hash, epoch, asked)
}
