package pgtest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Wire is a socket between an edge and its Postgres, which can be cut.
type Wire struct {
	t        testing.TB
	server   string // path of the server's socket
	DSN      string // what an edge uses
	listener net.Listener

	Accepted atomic.Int64
	opened   chan struct{} // connections are served once it is closed
	Open     func()
	// refuses says what is wrong with a startup message's parameters; "" is nothing.
	Refuses func(parameters map[string]string) string
	// hears is told each statement that a session has parsed.
	Hears func(parameters map[string]string, statement string)
	// notifies says whether a notification passes.
	Notifies func() bool
	// plan of what happens to the next statement.
	plan atomic.Pointer[Cut]

	mu    sync.Mutex
	conns []net.Conn
}

// Cut is what happens to one statement.
type Cut struct {
	Before bool          // before it reaches the server; else after it has committed
	Mute   bool          // the connection stays open but carries nothing any more
	done   chan struct{} // closed when it has happened
}

// tap opens a wire to the database of dsn.
func Tap(t testing.TB, dsn string) *Wire {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "Wire") // t.TempDir() can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{
		t: t, listener: listener, opened: make(chan struct{}),
		server: filepath.Join(config.Host, ".s.PGSQL.5432"),
		DSN:    "host=" + dir + " user=" + config.User + " dbname=" + config.Database,
	}
	w.Open = sync.OnceFunc(func() { close(w.opened) })
	var workers sync.WaitGroup
	workers.Go(func() { w.accept(&workers) })
	t.Cleanup(func() {
		w.HangUp()
		workers.Wait()
	})
	return w
}

// working is a wire that works from the start.
func (w *Wire) Working() *Wire {
	w.Open()
	return w
}

// hangUp refuses connections from now on, and cuts those that there are.
func (w *Wire) HangUp() {
	_ = w.listener.Close()
	w.Open()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
}

// next plans what happens to the next statement, and returns what is closed when it has.
func (w *Wire) Next(plan Cut) <-chan struct{} {
	plan.done = make(chan struct{})
	w.plan.Store(&plan)
	return plan.done
}

func (w *Wire) accept(workers *sync.WaitGroup) {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.Accepted.Add(1)
		w.track(client)
		workers.Go(func() { w.serve(client) })
	}
}

func (w *Wire) track(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
}

func (w *Wire) serve(client net.Conn) {
	defer client.Close()
	<-w.opened
	startup, parameters, err := readStartup(client)
	if err != nil {
		return
	}
	if w.Refuses != nil && parameters != nil {
		if wrong := w.Refuses(parameters); wrong != "" {
			refusal := pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: pgerrcode.ProtocolViolation, Message: wrong}
			message, _ := refusal.Encode(nil)
			_, _ = client.Write(message)
			return
		}
	}
	server, err := net.Dial("unix", w.server)
	if err != nil {
		return
	}
	defer server.Close()
	w.track(server)
	if _, err := server.Write(startup); err != nil {
		return
	}
	var lost atomic.Pointer[Cut] // the plan whose statement's answer is lost
	var both sync.WaitGroup
	both.Go(func() {
		defer server.Close()
		silent := false
		forward(server, client, func(kind byte, body []byte) bool {
			if kind == 'P' && w.Hears != nil {
				_, statement, _ := bytes.Cut(body, []byte{0}) // after its name
				statement, _, _ = bytes.Cut(statement, []byte{0})
				w.Hears(parameters, string(statement))
			}
			if kind == 'B' && bytes.HasPrefix(body, []byte("\x00hoko_sale")) {
				if plan := w.plan.Swap(nil); plan != nil && plan.Before {
					silent = true
					plan.happen(client)
				} else {
					lost.Store(plan)
				}
			}
			return !silent
		})
	})
	both.Go(func() {
		defer client.Close()
		forward(client, server, func(kind byte, _ []byte) bool {
			if kind == 'A' && w.Notifies != nil {
				return w.Notifies()
			}
			plan := lost.Load()
			if plan != nil && kind == 'Z' { // ready for query: it has committed
				plan.happen(client)
			}
			return plan == nil
		})
	})
	both.Wait()
}

func (c *Cut) happen(client net.Conn) {
	if !c.Mute {
		_ = client.Close()
	}
	close(c.done)
}

// forward copies those messages that pass, until either end is closed.
func forward(to io.Writer, from io.Reader, pass func(kind byte, body []byte) bool) {
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(from, body); err != nil {
			return
		}
		if !pass(head[0], body) {
			continue
		}
		if _, err := to.Write(append(head, body...)); err != nil {
			return
		}
	}
}

// readStartup returns a connection's first message whole, and its parameters if it is no request to cancel.
func readStartup(client io.Reader) (message []byte, parameters map[string]string, err error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(client, head); err != nil {
		return nil, nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(client, body); err != nil {
		return nil, nil, err
	}
	message = append(head, body...)
	var startup pgproto3.StartupMessage
	if startup.Decode(body) != nil {
		return message, nil, nil
	}
	return message, startup.Parameters, nil
}
