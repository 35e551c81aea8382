package ratelimit

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Replies of a fake Redis.
const (
	replyFresh  = "*4\r\n:1\r\n:0\r\n$2\r\n-1\r\n$3\r\n0.1\r\n"
	replyDenied = "*4\r\n:0\r\n:0\r\n$3\r\n0.1\r\n$2\r\n60\r\n"
	replyNever  = "" // the connection stays open and says nothing
	replyHangUp = "hang up"
)

// fakeRedis answers as a test tells it, over pipes, so that it also lives in a
// synctest bubble. It counts what it is asked.
type fakeRedis struct {
	dials, scripts, probes atomic.Int64
	trips                  atomic.Int64 // writes that bring scripts' calls, however many

	mu      sync.Mutex
	refused error                      // why there is no connection, where there is none
	reply   func(args []string) string // to a script's call, or to what a Cluster or a Sentinel is asked
}

func newFakeRedis(reply string) *fakeRedis {
	f := &fakeRedis{}
	f.answer(reply)
	return f
}

func (f *fakeRedis) answer(reply string) { f.answerBy(func([]string) string { return reply }) }

func (f *fakeRedis) answerBy(reply func(args []string) string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused, f.reply = nil, reply
}

// refuse makes every dial from now on fail.
func (f *fakeRedis) refuse() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = &net.OpError{Op: "dial", Net: "tcp", Err: io.ErrClosedPipe}
}

func (f *fakeRedis) dial(context.Context, string, string) (net.Conn, error) {
	f.dials.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused != nil {
		return nil, f.refused
	}
	client, server := net.Pipe()
	go f.serve(server)
	return tripCounter{client, &f.trips}, nil
}

type tripCounter struct {
	net.Conn
	trips *atomic.Int64
}

func (c tripCounter) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("evalsha")) {
		c.trips.Add(1)
	}
	return c.Conn.Write(p)
}

// serve answers one connection until its client closes it.
func (f *fakeRedis) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 1<<16) // a pipe holds nothing, and a client writes a whole batch before it reads
	for {
		args, err := readCommand(r)
		if err != nil {
			return
		}
		switch reply := f.replyTo(args); reply {
		case replyNever:
			io.Copy(io.Discard, r)
			return
		case replyHangUp:
			return
		default:
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
		}
	}
}

func (f *fakeRedis) replyTo(args []string) string {
	f.mu.Lock()
	reply := f.reply
	f.mu.Unlock()
	switch args[0] {
	case "cluster", "sentinel", "subscribe":
		return reply(args)
	case "evalsha", "eval":
		f.scripts.Add(1)
		if strings.HasSuffix(args[3], ":probe") {
			f.probes.Add(1)
		}
		return reply(args)
	}
	return "-ERR unknown command\r\n" // HELLO: then RESP2 it is
}

func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readLength(r)
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		size, err := readLength(r)
		if err != nil {
			return nil, err
		}
		text := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		args[i] = string(text[:size])
	}
	return args, nil
}

// readLength reads the number of a RESP array's or string's head: *3 or $5.
func readLength(r *bufio.Reader) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}
