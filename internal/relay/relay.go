// Package relay stands between a client and a server in tests and measurements, and fails as
// networks and servers do.
package relay

import (
	"context"
	"net"
	"strings"
	"sync"
)

// Relay accepts connections at one address and passes them on to another. An address is a TCP host
// and port, or the path of a Unix socket. All methods may be called at any time.
type Relay struct {
	// Answer, if it is not nil, is given what each client sends first. Unless it returns nothing,
	// the client receives what it returns and is hung up on, as a pooler does that refuses a
	// startup parameter. Set it before Open.
	Answer func(hello []byte) []byte

	// Filters, if it is not nil, is given what each client sends first, and returns for each direction
	// what becomes of what is received later. A filter may hang up on the client. Set it before Open.
	Filters func(hello []byte) (toServer, toClient Filter)

	listen, server string
	running        sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while nothing is accepted
	accepted int          // since the last Open
	conns    map[*conn]bool
	ways     [2]way
	resets   bool // connections are reset as soon as they are accepted
}

// Filter returns what to pass on of what was received.
type Filter func(data []byte, hangUp func()) []byte

// New returns a Relay that accepts nothing before Open.
func New(listen, server string) *Relay {
	r := &Relay{listen: listen, server: server, conns: map[*conn]bool{}}
	for d := range r.ways {
		r.ways[d].limit = unlimited
	}
	return r
}

// Start returns a Relay that is open.
func Start(listen, server string) (*Relay, error) {
	r := New(listen, server)
	return r, r.Open()
}

// Address is where the Relay listens.
func (r *Relay) Address() string { return r.listen }

// Open accepts connections, unless the Relay does so already.
func (r *Relay) Open() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		return nil
	}
	listener, err := net.Listen(network(r.listen), r.listen)
	if err != nil {
		return err
	}
	r.listener, r.accepted = listener, 0
	r.running.Go(func() { r.accept(listener) })
	return nil
}

// Cut closes all connections and refuses new ones until Open, as a server does that is gone.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		r.listener.Close()
		r.listener = nil
	}
	r.closeAll(func(*conn) bool { return true })
}

// Close cuts the Relay and returns when all of its goroutines have ended.
func (r *Relay) Close() {
	r.Cut()
	r.running.Wait()
}

// Accepted returns how many connections have been accepted since the last Open.
func (r *Relay) Accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}

func (r *Relay) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		if c := r.enter(listener, client); c != nil {
			r.running.Go(func() { r.serve(c) })
		}
	}
}

// enter makes a connection one of those that a fault strikes, unless the Relay has been cut.
func (r *Relay) enter(listener net.Listener, client net.Conn) *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	c := &conn{client: client, left: [2]int{r.ways[ToServer].limit, r.ways[ToClient].limit}, ctx: ctx, cancel: cancel}
	if r.listener == listener {
		r.accepted++
		if !r.resets {
			r.conns[c] = true
			return c
		}
	}
	c.close(r.resets)
	return nil
}

// closeAll closes the connections of which that is true. The caller holds the lock.
func (r *Relay) closeAll(which func(*conn) bool) {
	for c := range r.conns {
		if which(c) {
			c.close(r.resets)
			delete(r.conns, c)
		}
	}
}

func network(address string) string {
	if strings.Contains(address, "/") {
		return "unix"
	}
	return "tcp"
}
