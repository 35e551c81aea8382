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

// hangGuard ends a test that waits for something that never comes.
const hangGuard = 30 * time.Second

// startEcho starts a Relay for a server that echoes what it receives.
func startEcho(t *testing.T, network string) *Relay {
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
	t.Cleanup(r.Close) // hangs if a goroutine does not end
	return r
}

func dial(t *testing.T, r *Relay) net.Conn {
	t.Helper()
	conn, err := net.Dial(network(r.Address()), r.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(hangGuard))
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

// echo sends a text and waits for its echo.
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

// wantEnd fails unless the connection ends after exactly this data.
func wantEnd(t *testing.T, conn net.Conn, want string) error {
	t.Helper()
	got, err := io.ReadAll(conn)
	if string(got) != want || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %q, %v, want %q and an end", got, err, want)
	}
	return err
}

// wantNoData fails if anything arrives within 50 ms.
func wantNoData(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v, want none", n, err)
	}
	conn.SetReadDeadline(time.Now().Add(hangGuard))
}

func TestRelay_Forwards(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			r := startEcho(t, network)
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

func TestRelay_Stall(t *testing.T) {
	for name, d := range map[string]Direction{"to the server": ToServer, "to the client": ToClient} {
		t.Run(name, func(t *testing.T) {
			r := startEcho(t, "unix")
			known := dial(t, r)
			echo(t, known, "a")
			r.Stall(d)
			fresh := dial(t, r)
			for _, conn := range []net.Conn{known, fresh} {
				send(t, conn, "b")
				wantNoData(t, conn)
			}
			r.Resume()
			wantEcho(t, known, "b")
			wantEcho(t, fresh, "b")
		})
	}
}

func TestRelay_Cut(t *testing.T) {
	r := startEcho(t, "tcp")
	conn := dial(t, r)
	echo(t, conn, "a")
	r.Stall(ToClient)
	send(t, conn, "b")
	r.Cut()
	wantEnd(t, conn, "")
	if _, err := net.Dial("tcp", r.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new connection: %v", err)
	}
	restore(t, r)
	echo(t, dial(t, r), "c")
	if n := r.Accepted(); n != 1 {
		t.Errorf("accepted %d since the relay was opened again", n)
	}
}

func TestRelay_Reset(t *testing.T) {
	r := startEcho(t, "tcp")
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
		"after a part of the request":  {ToServer, 3, "hel"},
		"after a part of the response": {ToClient, 2, "he"},
		"before the response":          {ToClient, 0, ""},
		"before the request":           {ToServer, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := startEcho(t, "unix")
			known := dial(t, r)
			echo(t, known, "first")
			r.CutAfter(c.d, c.bytes)
			for _, conn := range []net.Conn{known, dial(t, r)} {
				send(t, conn, "hello")
				got, err := io.ReadAll(conn)
				if !strings.HasPrefix(c.want, string(got)) || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %q, %v, want at most %q", got, err, c.want)
				}
			}
		})
	}
}

func TestRelay_Drop(t *testing.T) {
	for name, d := range map[string]Direction{"to the server": ToServer, "to the client": ToClient} {
		t.Run(name, func(t *testing.T) {
			r := startEcho(t, "unix")
			lossy, idle := dial(t, r), dial(t, r)
			echo(t, idle, "a")
			r.Drop(d)
			send(t, lossy, "b")
			wantNoData(t, lossy)
			restore(t, r)
			wantEnd(t, lossy, "") // because it lost data
			echo(t, idle, "c")
		})
	}
}

func TestRelay_DropHalf(t *testing.T) {
	r := startEcho(t, "unix")
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
	r := startEcho(t, "unix")
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

func TestRelay_ServerIsDown(t *testing.T) {
	r := startEcho(t, "unix")
	broken, err := Start(r.Address()+"-broken", r.Address()+"-gone")
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	wantEnd(t, dial(t, broken), "")
}

func TestRelay_DelaysOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = time.Millisecond
		client, in := net.Pipe()
		out, server := net.Pipe()
		r := New("", "")
		r.Delay(ToServer, late, 0)
		ctx, cancel := context.WithCancel(t.Context())
		c := &conn{client: in, server: out, left: [2]int{unlimited, unlimited}, ctx: ctx, cancel: cancel}
		go r.forward(c, ToServer, out, in, nil, nil)
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
