package ratelimit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"

	"hoko.to/edge/plugin/limit"
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
	open                   atomic.Int64 // connections
	trips                  atomic.Int64 // writes that bring scripts' calls, however many

	latency time.Duration // of a dial and of each answer

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
	time.Sleep(f.latency)
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
	f.open.Add(1)
	defer f.open.Add(-1)
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 1<<16) // a pipe holds nothing, and a client writes a whole batch before it reads
	for {
		args, err := readCommand(r)
		if err != nil {
			return
		}
		time.Sleep(f.latency)
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
	case "auth", "select", "client":
		if reply := reply(args); !strings.HasPrefix(reply, "*") {
			return reply
		}
		return "+OK\r\n"
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

// patience is a timeout for tests that are not about time, on however busy a machine.
const patience = 30 * time.Second

// newLimiter makes a Limiter that is closed when the test ends.
func newLimiter(t testing.TB, o Options) *Limiter {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			t.Error(err)
		}
	})
	return l
}

var perMinute = limitOf(600, time.Minute, 600)

func limitOf(rate int, period time.Duration, burst int) limit.Limit {
	return limit.Limit{Rate: rate, Period: period, Burst: burst}
}

// ask makes one request, which must be decided.
func ask(t testing.TB, l *Limiter, r Request) Decision {
	t.Helper()
	d, err := l.Allow(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// control is a connection to a Redis that a test may ask and order about.
func control(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	t.Cleanup(func() { client.Close() })
	return client
}

// order runs one command that must succeed.
func order(t testing.TB, client *redis.Client, command ...any) any {
	t.Helper()
	reply, err := client.Do(t.Context(), command...).Result()
	if err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	return reply
}

// counters are how often a Redis has read from its connections, and how often it was asked to run a script.
func counters(t testing.TB, client *redis.Client) (reads, calls int) {
	t.Helper()
	info := order(t, client, "INFO", "all").(string)
	for line := range strings.Lines(info) {
		if n, ok := strings.CutPrefix(line, "total_reads_processed:"); ok {
			reads, _ = strconv.Atoi(strings.TrimSpace(n))
		}
		if n, ok := strings.CutPrefix(line, "cmdstat_evalsha:calls="); ok {
			n, _, _ = strings.Cut(n, ",")
			calls, _ = strconv.Atoi(n)
		}
	}
	return reads, calls
}

// count is a counter's or a gauge's value.
func count(t testing.TB, metric prometheus.Metric) int {
	t.Helper()
	var m dto.Metric
	if err := metric.Write(&m); err != nil {
		t.Fatal(err)
	}
	return int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
}

// journal keeps what is logged, and lets a test wait for a line.
type journal struct {
	mu    sync.Mutex
	lines []string
	heard chan struct{} // closed and replaced with each line
}

func newJournal() *journal { return &journal{heard: make(chan struct{})} }

func (j *journal) logger() *slog.Logger { return slog.New(j) }

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
	close(j.heard)
	j.heard = make(chan struct{})
	return nil
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

// await returns when n lines have been logged.
func (j *journal) await(t testing.TB, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		j.mu.Lock()
		lines, heard := j.lines, j.heard
		j.mu.Unlock()
		if len(lines) >= n {
			return lines
		}
		select {
		case <-heard:
		case <-ctx.Done():
			t.Fatalf("waited for %d lines, got %q", n, lines)
		}
	}
}
