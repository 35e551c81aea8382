package apikey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// lookupTimeout bounds a lookup, whatever becomes of the clients that wait for it.
	lookupTimeout = 3 * time.Second
	// patience bounds the wait of a client that can be served without the answer.
	patience = 700 * time.Millisecond
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
// was true before a revocation must not be used after it.
func (a *Authenticator) lookUp(ctx context.Context, hash Hash, client string, known bool) (*entry, error) {
	for pause := firstPause; pause <= lastPause; pause *= 2 {
		if !known {
			if err := a.guesses.check(clientAddr(client), a.now()); err != nil {
				return nil, err
			}
		}
		f := a.join(hash, client, known)
		var e *entry
		var err error
		select {
		case r := <-f.landed:
			e, _ = r.Val.(*entry)
			err = r.Err
		case <-ctx.Done():
			return nil, unavailable(context.Cause(ctx))
		}
		if _, spent := errors.AsType[*GuessesSpent](err); spent && !f.own {
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

// flight is a lookup under way, shared by all that want the same key.
type flight struct {
	landed <-chan singleflight.Result
	own    bool // this request started it; to be read when it has landed
}

// join starts the lookup of a key, or joins the one under way. It ends by
// itself, whether anybody waits for it or not.
func (a *Authenticator) join(hash Hash, client string, known bool) *flight {
	f := &flight{}
	f.landed = a.flights.DoChan(string(hash[:]), func() (any, error) {
		f.own = true
		return a.load(hash, client, known)
	})
	return f
}

// load runs in the flight's goroutine, which Close waits for. A lookup for a
// client costs it a guess where nothing is found.
func (a *Authenticator) load(hash Hash, client string, known bool) (*entry, error) {
	if !a.begin() {
		return nil, unavailable(errClosed)
	}
	defer a.loads.Done()
	release, err := a.slots.acquire(a.ctx, known)
	if err != nil {
		return nil, unavailable(err)
	}
	defer release()
	if known {
		return a.query(hash, known)
	}
	budget, err := a.guesses.hold(clientAddr(client), a.now())
	if err != nil {
		return nil, err
	}
	e, err := a.query(hash, known)
	a.guesses.settle(budget, errors.Is(err, ErrNotFound), a.now())
	return e, err
}

// query asks the store once, and remembers the answer.
func (a *Authenticator) query(hash Hash, known bool) (*entry, error) {
	ctx, cancel := context.WithTimeout(a.ctx, lookupTimeout)
	defer cancel()
	epoch, now := a.epochs.of(hash), a.now()
	key, err := a.store.Key(ctx, hash)
	a.metrics.lookedUp(err)
	if err != nil && !errors.Is(err, ErrNotFound) {
		if a.ctx.Err() == nil {
			a.outage.began(a.now(), err)
		}
		return nil, unavailable(err)
	}
	a.outage.ended()
	if a.epochs.of(hash).events != epoch.events {
		return nil, errOvertaken
	}
	if err != nil {
		a.forget(hash, known, epoch, now)
		return nil, ErrNotFound
	}
	e := newEntry(key, hash, epoch, now)
	if err := a.keys.put(e); err != nil {
		return nil, unavailable(err)
	}
	return e, nil
}

// forget remembers that the store does not know the key.
func (a *Authenticator) forget(hash Hash, known bool, epoch epoch, now time.Duration) {
	if known {
		// An entry of it is still cached, and must not come back as a stale one.
		a.epochs.retire(hash)
		epoch.events++
	}
	a.unknown.put(hash, epoch, now)
}
