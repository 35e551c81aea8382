package harness

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/internal/testenv"
)

// relay stands between listeners and Postgres. It can be cut, as by a restart,
// and fall silent as a network does that loses packets: connections stay, and new
// ones are accepted, but nothing arrives.
type relay struct {
	DSN    string // of the database, through the relay
	path   string // of its own socket
	server string // that of the server behind

	mu       sync.Mutex
	listener net.Listener // nil while it is cut
	open     map[net.Conn]bool
	accepted int           // since it was last mended
	speaking chan struct{} // closed while it speaks
}

func startRelay(t testing.TB, dsn string) *relay {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	dir := testenv.ShortDir(t)
	address := &url.URL{Scheme: "postgres", User: url.User(config.User), Path: "/" + config.Database}
	address.RawQuery = url.Values{"host": {dir}, "sslmode": {"disable"}, "application_name": {ListenerName}}.Encode()
	r := &relay{
		DSN:      address.String(),
		path:     filepath.Join(dir, ".s.PGSQL.5432"),
		server:   filepath.Join(config.Host, fmt.Sprintf(".s.PGSQL.%d", config.Port)),
		open:     map[net.Conn]bool{},
		speaking: make(chan struct{}),
	}
	close(r.speaking)
	r.Mend(t)
	t.Cleanup(func() { r.Cut(); r.Speak() })
	return r
}

// listenerName is what the listeners behind a relay call themselves to Postgres.
const ListenerName = "a-listener"

// mend lets connections be made again.
func (r *relay) Mend(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		return
	}
	listener, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	r.listener, r.accepted = listener, 0
	go r.accept(listener)
}

// cut ends every connection and refuses new ones.
func (r *relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		r.listener.Close()
		r.listener = nil
	}
	for conn := range r.open {
		conn.Close()
	}
	clear(r.open)
}

func (r *relay) Silence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.speaking:
		r.speaking = make(chan struct{})
	default:
	}
}

// speak delivers what was held back meanwhile.
func (r *relay) Speak() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.speaking:
	default:
		close(r.speaking)
	}
}

func (r *relay) Accepts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}

func (r *relay) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "unix", r.server)
		if err != nil {
			client.Close()
			continue
		}
		if !r.keep(listener, client, server) {
			return
		}
		go r.forward(server, client)
		go r.forward(client, server)
	}
}

// keep has a cut close them, unless it has happened.
func (r *relay) keep(listener net.Listener, conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		if r.listener == listener {
			r.open[conn] = true
		} else {
			conn.Close()
		}
	}
	r.accepted++
	return r.listener == listener
}

func (r *relay) forward(to, from net.Conn) {
	defer r.drop(to, from)
	chunk := make([]byte, 4096)
	for {
		n, err := from.Read(chunk)
		if err != nil {
			return
		}
		r.mu.Lock()
		speaking := r.speaking
		r.mu.Unlock()
		<-speaking
		if _, err := to.Write(chunk[:n]); err != nil {
			return
		}
	}
}

func (r *relay) drop(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
		delete(r.open, conn)
	}
}
