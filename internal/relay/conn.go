package relay

import (
	"bytes"
	"context"
	"net"
	"sync"
	"time"
)

// conn is a client's connection and the connection to the server that belongs to it. The Relay's
// lock guards left and lossy.
type conn struct {
	left  [2]int // bytes that it may still forward, by direction; or unlimited
	lossy bool   // it has lost data and discards all further data

	client net.Conn
	ctx    context.Context // canceled when it is closed
	cancel context.CancelFunc
	mu     sync.Mutex
	server net.Conn // nil until dialed
}

// close closes both ends.
func (c *conn) close(reset bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel()
	for _, end := range []net.Conn{c.client, c.server} {
		if end == nil {
			continue
		}
		if tcp, ok := end.(*net.TCPConn); ok && reset {
			tcp.SetLinger(0)
		}
		end.Close()
	}
}

// dial connects to the server, unless the connection has been closed.
func (c *conn) dial(address string) bool {
	server, err := new(net.Dialer).DialContext(c.ctx, network(address), address)
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		server.Close()
		return false
	}
	c.server = server
	return true
}

// serve forwards data until both ends of the connection are closed.
func (r *Relay) serve(c *conn) {
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, c)
		c.close(false)
	}()
	var hello []byte
	var toServer, toClient Filter
	if r.Answer != nil || r.Filters != nil {
		buf := make([]byte, 4096)
		n, err := c.client.Read(buf)
		if err != nil {
			return
		}
		hello = buf[:n]
	}
	if r.Answer != nil {
		if answer := r.Answer(hello); len(answer) > 0 {
			c.client.Write(answer)
			return
		}
	}
	if r.Filters != nil {
		toServer, toClient = r.Filters(hello)
	}
	if !c.dial(r.server) {
		return
	}
	var directions sync.WaitGroup
	directions.Go(func() { r.forward(c, ToServer, c.server, c.client, hello, toServer) })
	directions.Go(func() { r.forward(c, ToClient, c.client, c.server, nil, toClient) })
	directions.Wait()
}

// chunk is the data of one read, and the time at which to deliver it.
type chunk struct {
	data []byte
	due  time.Time
}

// forward forwards what one end sends until that end or the connection is closed, and then closes
// the connection. It reads on while chunks are delayed, so their delays overlap.
func (r *Relay) forward(c *conn, d Direction, to, from net.Conn, hello []byte, filter Filter) {
	queue := make(chan chunk, 256)
	var reading sync.WaitGroup
	reading.Go(func() { r.receive(c, d, from, hello, filter, queue) })
	for next := range queue {
		if !sleep(c.ctx, time.Until(next.due)) || !r.deliver(c, d, to, next.data) {
			break
		}
	}
	c.close(false)
	reading.Wait()
}

// receive queues hello and then what from sends, until from ends.
func (r *Relay) receive(c *conn, d Direction, from net.Conn, hello []byte, filter Filter, queue chan<- chunk) {
	defer close(queue)
	buf := make([]byte, 16<<10)
	for data, err := hello, error(nil); ; {
		if len(data) > 0 {
			select {
			case queue <- chunk{bytes.Clone(data), r.due(d)}:
			case <-c.ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
		var n int
		n, err = from.Read(buf)
		if data = buf[:n]; filter != nil {
			data = filter(data, func() { c.close(false) })
		}
	}
}

// deliver writes the admitted part of data and reports whether the connection stays open.
func (r *Relay) deliver(c *conn, d Direction, to net.Conn, data []byte) bool {
	for {
		rest, ends, stalled := r.admit(c, d, data)
		if stalled == nil {
			if len(rest) > 0 {
				if _, err := to.Write(rest); err != nil {
					return false
				}
			}
			return !ends
		}
		select {
		case <-stalled:
		case <-c.ctx.Done():
			return false
		}
	}
}

// sleep reports whether d has passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
