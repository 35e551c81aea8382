package relay

import (
	"math/rand/v2"
	"time"
)

// Direction is the way that data takes.
type Direction int

// The two directions.
const (
	ToServer Direction = iota
	ToClient
)

// way is what happens to the data of one direction.
type way struct {
	delay, jitter time.Duration
	silent        chan struct{} // closed when it speaks again; nil while it speaks
	drops         bool
	limit         int // bytes that a new connection may pass on
}

const unlimited = -1

// Delay has what is received from now on arrive later, as over a longer cable: by delay, and up to
// jitter more or less. What was sent first arrives first.
func (r *Relay) Delay(d Direction, delay, jitter time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ways[d].delay, r.ways[d].jitter = delay, jitter
}

// Silence holds everything back until Speak, as a network does that loses packets: connections
// stay, and new ones are accepted.
func (r *Relay) Silence(d Direction) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ways[d].silent == nil {
		r.ways[d].silent = make(chan struct{})
	}
}

// Speak ends all silence, and delivers what was held back.
func (r *Relay) Speak() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.speak()
}

func (r *Relay) speak() {
	for d := range r.ways {
		if r.ways[d].silent != nil {
			close(r.ways[d].silent)
			r.ways[d].silent = nil
		}
	}
}

// Drop loses everything until Restore, which also closes the connections that have lost something.
func (r *Relay) Drop(d Direction) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ways[d].drops = true
}

// DropHalf loses everything on every second connection of now until Restore, which closes those.
func (r *Relay) DropHalf() {
	r.mu.Lock()
	defer r.mu.Unlock()
	second := false
	for c := range r.conns {
		c.lossy = c.lossy || second
		second = !second
	}
}

// CutAfter closes each connection once it has passed on that many more bytes: with 0, at the first
// that arrives, and without passing it on.
func (r *Relay) CutAfter(d Direction, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ways[d].limit = bytes
	for c := range r.conns {
		c.left[d] = bytes
	}
}

// Reset resets all connections, and new ones as soon as they are accepted. Over TCP the other ends
// receive a RST.
func (r *Relay) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resets = true
	r.closeAll(func(*conn) bool { return true })
}

// Restore ends all faults, a Cut included.
func (r *Relay) Restore() error {
	r.mu.Lock()
	r.resets = false
	r.speak()
	for d := range r.ways {
		r.ways[d] = way{limit: unlimited}
	}
	r.closeAll(func(c *conn) bool { return c.lossy })
	for c := range r.conns {
		c.left = [2]int{unlimited, unlimited}
	}
	r.mu.Unlock()
	return r.Open()
}

// due is when what is received now arrives.
func (r *Relay) due(d Direction) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.ways[d]
	if w.delay == 0 && w.jitter == 0 {
		return time.Time{}
	}
	return time.Now().Add(w.delay - w.jitter + time.Duration(rand.Int64N(2*int64(w.jitter)+1)))
}

// admit is what may be passed on of some data, and whether the connection ends with it; or that
// nothing may be before a channel is closed.
func (r *Relay) admit(c *conn, d Direction, data []byte) (rest []byte, ends bool, silent <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch left := c.left[d]; {
	case r.ways[d].silent != nil:
		return nil, false, r.ways[d].silent
	case r.ways[d].drops || c.lossy:
		c.lossy = true
		return nil, false, nil
	case left == unlimited:
		return data, false, nil
	default:
		rest = data[:min(left, len(data))]
		c.left[d] -= len(rest)
		return rest, c.left[d] == 0, nil
	}
}
