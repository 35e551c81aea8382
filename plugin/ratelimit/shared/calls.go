// Package shared provides calls that concurrent requests for the same thing share.
package shared

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Calls makes concurrent requests with the same keys share calls. A request that comes while no
// other such request is being answered makes a call immediately. Those that come meanwhile are
// answered together by the next call, which the first of them makes. Calls starts no goroutine.
type Calls[K comparable, R any] struct {
	maxWait time.Duration

	mu     sync.Mutex
	latest map[K]*call[K, R] // by the first key: the call that was made last and is not answered
}

// call answers requests with the same keys.
type call[K comparable, R any] struct {
	keys     []K
	requests int         // fixed when the call is made
	next     *call[K, R] // for the requests that have come since; nil if there are none

	// Both are nil for a call that is made immediately, and so for a single request.
	turn chan struct{} // closed when the call before has ended
	done chan struct{} // closed when reply and err are set

	reply R
	err   error
	taken atomic.Int64
}

// NewCalls returns Calls. maxWait bounds how long a call waits for the one before, which matters if
// a call takes long.
func NewCalls[K comparable, R any](maxWait time.Duration) *Calls[K, R] {
	return &Calls[K, R]{maxWait: maxWait, latest: make(map[K]*call[K, R])}
}

// Do returns the reply of a call for this request and others with the same keys, of which there is
// at least one. i is different for each of the requests, from 0 to the number of them minus one. It
// calls ask in this goroutine, or waits for a request that does. That one came earlier, so a
// deadline that ask derives from the time of its own request suffices for all.
//
// The caller must not change keys, or what the reply refers to.
func (c *Calls[K, R]) Do(keys []K, ask func(requests int) (R, error)) (reply R, i int, err error) {
	joined, makes := c.join(keys)
	switch {
	case joined == nil:
		reply, err = ask(1)
		return reply, 0, err
	case !makes:
		<-joined.done
		return joined.reply, int(joined.taken.Add(1)), joined.err
	}
	c.await(joined)
	joined.err = errPanicked
	defer c.end(joined)
	joined.reply, joined.err = ask(joined.requests)
	return joined.reply, 0, joined.err
}

// errPanicked is what the other requests get if the one that makes the call panics.
var errPanicked = errors.New("a shared call has panicked")

// join returns the call for a request, and whether the request makes it. It returns nil if the keys
// of an earlier call are different, except for the first.
func (c *Calls[K, R]) join(keys []K) (joined *call[K, R], makes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	latest := c.latest[keys[0]]
	switch {
	case latest == nil:
		joined = &call[K, R]{keys: keys, requests: 1}
		c.latest[keys[0]] = joined
		return joined, true
	case !slices.Equal(latest.keys, keys):
		return nil, false
	case latest.next != nil:
		latest.next.requests++
		return latest.next, false
	}
	latest.next = &call[K, R]{keys: keys, requests: 1, turn: make(chan struct{}), done: make(chan struct{})}
	return latest.next, true
}

// await waits until a call may be made. From then on, no request joins it.
func (c *Calls[K, R]) await(joined *call[K, R]) {
	if joined.turn == nil {
		return
	}
	timer := time.NewTimer(c.maxWait)
	defer timer.Stop()
	select {
	case <-joined.turn:
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest[joined.keys[0]] = joined
}

// end lets the other requests take the reply, and the next call be made.
func (c *Calls[K, R]) end(ended *call[K, R]) {
	if ended.done != nil {
		close(ended.done)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.latest[ended.keys[0]] != ended: // the next call has not waited for this one
	case ended.next == nil:
		delete(c.latest, ended.keys[0])
	default:
		close(ended.next.turn)
	}
}
