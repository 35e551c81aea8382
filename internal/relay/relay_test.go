package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// before starts a Relay before a server that sends back what it receives.
func before(t *testing.T, network string) *Relay {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listen, server := filepath.Join(dir, "listen"), filepath.Join(dir, "server")
	if network == "tcp" {
		server = "127.0.0.1:0"
		free, err := net.Listen("tcp", server)
		if err != nil {
			t.Fatal(err)
		}
		listen = free.Addr().String()
		free.Close()
	}
	echo, err := net.Listen(network, server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { echo.Close() })
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); io.Copy(conn, conn) }()
		}
	}()
	r, err := Start(listen, echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close) // returns, so that all goroutines have ended
	return r
}

func dial(t *testing.T, r *Relay) net.Conn {
	t.Helper()
	conn, err := net.Dial(network(r.Address()), r.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func wantEcho(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

// echo sends a text and waits for its return.
func echo(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	send(t, conn, text)
	wantEcho(t, conn, text)
}

func restore(t *testing.T, r *Relay) {
	t.Helper()
	if err := r.Restore(); err != nil {
		t.Fatal(err)
	}
}

// wantEnd fails unless the connection has ended, after this was received.
func wantEnd(t *testing.T, conn net.Conn, want string) error {
	t.Helper()
	got, err := io.ReadAll(conn)
	if string(got) != want || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %q, %v, want %q and an end", got, err, want)
	}
	return err
}

// wantSilence fails if anything arrives within a moment.
func wantSilence(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v, want silence", n, err)
	}
	conn.SetReadDeadline(time.Now().Add(patience))
}

func TestRelay_PassesOn(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			r := before(t, network)
			conn, large := dial(t, r), strings.Repeat("large", 100_000)
			go io.WriteString(conn, large)
			wantEcho(t, conn, large)
			conn.Close()
			echo(t, dial(t, r), "hello")
			if n := r.Accepted(); n != 2 {
				t.Errorf("accepted %d", n)
			}
		})
	}
}

func TestRelay_Silence(t *testing.T) {
	for name, d := range map[string]Direction{"to the server": ToServer, "to the client": ToClient} {
		t.Run(name, func(t *testing.T) {
			r := before(t, "unix")
			known := dial(t, r)
			echo(t, known, "a")
			r.Silence(d)
			fresh := dial(t, r)
			for _, conn := range []net.Conn{known, fresh} {
				send(t, conn, "b")
				wantSilence(t, conn)
			}
			r.Speak()
			wantEcho(t, known, "b")
			wantEcho(t, fresh, "b")
		})
	}
}

func TestRelay_Cut(t *testing.T) {
	r := before(t, "tcp")
	conn := dial(t, r)
	echo(t, conn, "a")
	r.Silence(ToClient)
	send(t, conn, "b")
	r.Cut()
	wantEnd(t, conn, "")
	if _, err := net.Dial("tcp", r.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new connection: %v", err)
	}
	restore(t, r)
	echo(t, dial(t, r), "c")
	if n := r.Accepted(); n != 1 {
		t.Errorf("accepted %d since it is open again", n)
	}
}

func TestRelay_Reset(t *testing.T) {
	r := before(t, "tcp")
	conn := dial(t, r)
	echo(t, conn, "a")
	r.Reset()
	if err := wantEnd(t, conn, ""); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ends with %v", err)
	}
	fresh, err := net.Dial("tcp", r.Address())
	if err == nil {
		defer fresh.Close()
		_, err = fresh.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a new connection ends with %v", err)
	}
	restore(t, r)
	echo(t, dial(t, r), "b")
}

func TestRelay_CutAfter(t *testing.T) {
	for name, c := range map[string]struct {
		d     Direction
		bytes int
		want  string
	}{
		"the client has sent it":       {ToServer, 3, "hel"},
		"the server has answered":      {ToClient, 2, "he"},
		"before anything is answered":  {ToClient, 0, ""},
		"before anything has got here": {ToServer, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := before(t, "unix")
			known := dial(t, r)
			echo(t, known, "first")
			r.CutAfter(c.d, c.bytes)
			for _, conn := range []net.Conn{known, dial(t, r)} {
				send(t, conn, "hello")
				if got, err := io.ReadAll(conn); !strings.HasPrefix(c.want, string(got)) || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %q, %v, want at most %q", got, err, c.want)
				}
			}
		})
	}
}

func TestRelay_Drop(t *testing.T) {
	for name, d := range map[string]Direction{"to the server": ToServer, "to the client": ToClient} {
		t.Run(name, func(t *testing.T) {
			r := before(t, "unix")
			lossy, idle := dial(t, r), dial(t, r)
			echo(t, idle, "a")
			r.Drop(d)
			send(t, lossy, "b")
			wantSilence(t, lossy)
			restore(t, r)
			wantEnd(t, lossy, "") // what follows could not be understood
			echo(t, idle, "c")
		})
	}
}

func TestRelay_DropHalf(t *testing.T) {
	r := before(t, "unix")
	conns := []net.Conn{dial(t, r), dial(t, r)}
	for _, conn := range conns {
		echo(t, conn, "a")
	}
	r.DropHalf()
	alive := 0
	for _, conn := range conns {
		send(t, conn, "b")
		if got := make([]byte, 1); conn.SetReadDeadline(time.Now().Add(time.Second)) == nil {
			n, _ := conn.Read(got)
			alive += n
		}
	}
	if alive != 1 {
		t.Errorf("%d of two connections are alive, want one", alive)
	}
	echo(t, dial(t, r), "c")
}

func TestRelay_Answers(t *testing.T) {
	r := before(t, "unix")
	r.Cut()
	r.Answer = func(hello []byte) []byte {
		if bytes.Contains(hello, []byte("unknown parameter")) {
			return []byte("refused")
		}
		return nil
	}
	if err := r.Open(); err != nil {
		t.Fatal(err)
	}
	for hello, want := range map[string]string{"hello, unknown parameter": "refused", "hello": "hello"} {
		conn := dial(t, r)
		send(t, conn, hello)
		wantEcho(t, conn, want)
	}
}

func TestRelay_HasNoServer(t *testing.T) {
	r := before(t, "unix")
	lone, err := Start(r.Address()+"-lone", r.Address()+"-gone")
	if err != nil {
		t.Fatal(err)
	}
	defer lone.Close()
	wantEnd(t, dial(t, lone), "")
}

func TestRelay_DelaysSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = time.Millisecond
		client, in := net.Pipe()
		out, server := net.Pipe()
		r := New("", "")
		r.Delay(ToServer, late, 0)
		ctx, cancel := context.WithCancel(t.Context())
		c := &conn{client: in, server: out, left: [2]int{unlimited, unlimited}, ctx: ctx, cancel: cancel}
		go r.pass(c, ToServer, out, in, nil, nil)
		started := time.Now()
		go func() {
			for range 100 {
				client.Write([]byte("x"))
			}
			client.Close()
		}()
		got, err := io.ReadAll(server)
		if err != nil || len(got) != 100 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if took := time.Since(started); took != late {
			t.Errorf("a hundred chunks took %s, want %s", took, late)
		}
	})
}
