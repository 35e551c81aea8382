// Package relay is a proxy for tests and benchmarks that injects network faults between a client
// and a server.
package relay

import (
	"context"
	"net"
	"strings"
	"sync"
)

// Relay is a proxy that accepts connections at one address and forwards their data to another. Its
// methods are safe for concurrent use.
type Relay struct {
	// Answer, if not nil, receives the first bytes from each client. If it returns any bytes, the
	// relay sends them to the client and closes the connection, like a pooler that rejects a
	// startup parameter. Set it before Open.
	Answer func(hello []byte) []byte

	// Filters, if not nil, receives the first bytes from each client and returns a filter for the
	// later data of each direction. A nil filter changes nothing. Set it before Open.
	Filters func(hello []byte) (toServer, toClient Filter)

	listen, server string
	running        sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while closed
	accepted int          // since the last Open
	conns    map[*conn]bool
	faults   [2]faults
	resets   bool // new connections are reset
}

// Filter returns what to forward of the received data. It may call hangUp to close the connection.
type Filter func(data []byte, hangUp func()) []byte

// New returns a Relay from the address listen to the address server, which accepts no connections
// until Open. An address is a TCP host and port, or the path of a Unix socket.
func New(listen, server string) *Relay {
	r := &Relay{listen: listen, server: server, conns: map[*conn]bool{}}
	for d := range r.faults {
		r.faults[d].limit = unlimited
	}
	return r
}

// Start is like New, but also calls Open and returns its error.
func Start(listen, server string) (*Relay, error) {
	r := New(listen, server)
	return r, r.Open()
}

// Address returns the address at which the Relay listens.
func (r *Relay) Address() string { return r.listen }

// Open starts to accept connections. It does nothing if the Relay is open, and returns an error if
// it cannot listen.
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

// Cut closes all connections and refuses new ones until Open, as if the server were down.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		r.listener.Close()
		r.listener = nil
	}
	r.closeAll(func(*conn) bool { return true })
}

// Close calls Cut and waits until all goroutines of the Relay have ended.
func (r *Relay) Close() {
	r.Cut()
	r.running.Wait()
}

// Accepted returns the number of connections accepted since the last Open.
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
		if c := r.register(listener, client); c != nil {
			r.running.Go(func() { r.serve(c) })
		}
	}
}

// register returns a new connection, or closes it and returns nil if the Relay is cut or resets.
func (r *Relay) register(listener net.Listener, client net.Conn) *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	left := [2]int{r.faults[ToServer].limit, r.faults[ToClient].limit}
	c := &conn{client: client, left: left, ctx: ctx, cancel: cancel}
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

// closeAll closes the connections that match which. The caller holds the lock.
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
