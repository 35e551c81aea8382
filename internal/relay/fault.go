package relay

import (
	"math/rand/v2"
	"time"
)

// Direction is the direction of data through a Relay.
type Direction int

// The directions.
const (
	ToServer Direction = iota
	ToClient
)

// faults holds the faults of one direction.
type faults struct {
	delay, jitter time.Duration
	stalled       chan struct{} // closed by Resume; nil if data is not held back
	drops         bool
	limit         int // bytes that a new connection may forward; or unlimited
}

const unlimited = -1

// Delay delays data received from now on by delay, plus or minus up to jitter. It keeps the order
// of the data and does not reduce throughput.
func (r *Relay) Delay(d Direction, delay, jitter time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[d].delay, r.faults[d].jitter = delay, jitter
}

// Stall holds back all data of a direction until Resume, like a network that loses packets.
// Connections stay open, and new ones are accepted.
func (r *Relay) Stall(d Direction) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.faults[d].stalled == nil {
		r.faults[d].stalled = make(chan struct{})
	}
}

// Resume ends the stall of both directions and delivers the data held back.
func (r *Relay) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resume()
}

func (r *Relay) resume() {
	for d := range r.faults {
		if r.faults[d].stalled != nil {
			close(r.faults[d].stalled)
			r.faults[d].stalled = nil
		}
	}
}

// Drop discards all data of a direction until Restore, which closes the connections that lost data.
func (r *Relay) Drop(d Direction) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[d].drops = true
}

// DropHalf discards all data on every second current connection until Restore, which closes them.
func (r *Relay) DropHalf() {
	r.mu.Lock()
	defer r.mu.Unlock()
	second := false
	for c := range r.conns {
		c.lossy = c.lossy || second
		second = !second
	}
}

// CutAfter closes each connection, current or new, after it has forwarded a number of bytes in a
// direction. If bytes is 0, the first byte closes the connection and is not forwarded.
func (r *Relay) CutAfter(d Direction, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[d].limit = bytes
	for c := range r.conns {
		c.left[d] = bytes
	}
}

// Reset resets all connections, and new ones as soon as they are accepted, until Restore. Over TCP
// the peers receive an RST.
func (r *Relay) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resets = true
	r.closeAll(func(*conn) bool { return true })
}

// Restore ends all faults, including a Cut, and returns the error of Open.
func (r *Relay) Restore() error {
	r.mu.Lock()
	r.resets = false
	r.resume()
	for d := range r.faults {
		r.faults[d] = faults{limit: unlimited}
	}
	r.closeAll(func(c *conn) bool { return c.lossy })
	for c := range r.conns {
		c.left = [2]int{unlimited, unlimited}
	}
	r.mu.Unlock()
	return r.Open()
}

// due returns when to deliver data received now.
func (r *Relay) due(d Direction) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.faults[d]
	if f.delay == 0 && f.jitter == 0 {
		return time.Time{}
	}
	return time.Now().Add(f.delay - f.jitter + time.Duration(rand.Int64N(2*int64(f.jitter)+1)))
}

// admit returns what to forward of data, and whether to close the connection afterwards. If
// stalled is not nil, nothing may be forwarded before it is closed.
func (r *Relay) admit(c *conn, d Direction, data []byte) (rest []byte, ends bool, stalled <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch left := c.left[d]; {
	case r.faults[d].stalled != nil:
		return nil, false, r.faults[d].stalled
	case r.faults[d].drops || c.lossy:
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
