package keys_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// proxy stands between a client and the server of a test. It can fall silent
// as a network does that loses packets: connections stay, nothing arrives.
type proxy struct {
	server  string // the socket behind
	dir     string // of its own socket
	dsn     string
	refuses string       // a startup parameter, as PgBouncer does
	gate    sync.RWMutex // held while silent
	open    sync.WaitGroup
	closing chan struct{}
}

// newProxy opens nothing yet: until start, a client finds no server.
func newProxy(t *testing.T, dsn string) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "proxy") // a test's own directory is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &proxy{
		server:  filepath.Join(config.Host, fmt.Sprintf(".s.PGSQL.%d", config.Port)),
		dir:     dir,
		dsn:     fmt.Sprintf("host=%s port=5432 user=%s dbname=%s sslmode=disable", dir, config.User, config.Database),
		closing: make(chan struct{}),
	}
}

func (p *proxy) start(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(p.dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	p.open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.open.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		close(p.closing)
		_ = listener.Close()
		p.open.Wait()
	})
}

func (p *proxy) silence() { p.gate.Lock() }
func (p *proxy) speak()   { p.gate.Unlock() }

func (p *proxy) serve(client net.Conn) {
	hello := make([]byte, 4096) // a startup message comes in one piece
	n, err := client.Read(hello)
	if err != nil {
		_ = client.Close()
		return
	}
	hello = hello[:n]
	if p.refuses != "" && bytes.Contains(hello, []byte(p.refuses)) {
		refusal := pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "08P01", Message: "unsupported startup parameter: " + p.refuses}
		message, _ := refusal.Encode(nil)
		_, _ = client.Write(message)
		_ = client.Close()
		return
	}
	server, err := net.Dial("unix", p.server)
	if err != nil {
		_ = client.Close()
		return
	}
	_, _ = server.Write(hello)
	ended := make(chan struct{}, 2)
	forward := func(to io.Writer, from io.Reader) {
		defer func() { ended <- struct{}{} }()
		chunk := make([]byte, 4096)
		for {
			n, err := from.Read(chunk)
			if err != nil {
				return
			}
			p.gate.RLock()
			_, err = to.Write(chunk[:n])
			p.gate.RUnlock()
			if err != nil {
				return
			}
		}
	}
	p.open.Go(func() { forward(server, client) })
	p.open.Go(func() { forward(client, server) })
	select {
	case <-ended:
	case <-p.closing:
	}
	_, _ = client.Close(), server.Close()
}
