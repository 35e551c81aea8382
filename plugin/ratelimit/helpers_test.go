package ratelimit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
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

// Replies of a fakeRedis.
const (
	replyFresh        = "*4\r\n:1\r\n:0\r\n$2\r\n-1\r\n$3\r\n0.1\r\n" // admits
	replyDenied       = "*4\r\n:0\r\n:0\r\n$3\r\n0.1\r\n$2\r\n60\r\n" // for 0.1 s
	replyDeniedFor60s = "*4\r\n:0\r\n:0\r\n$2\r\n60\r\n$2\r\n60\r\n"
	replyNever        = ""      // keeps the connection open
	replyClose        = "close" // the connection
)

// fakeRedis sends the replies that a test sets. It uses pipes, which work in synctest bubbles.
type fakeRedis struct {
	dials, scripts, probes atomic.Int64
	open                   atomic.Int64 // connections
	trips                  atomic.Int64 // round trips with calls of the script

	latency time.Duration // of each dial and reply

	mu      sync.Mutex
	dialErr error
	reply   func(args []string) string // to the script, to CLUSTER and to Sentinel commands
}

func newFakeRedis(reply string) *fakeRedis {
	f := &fakeRedis{}
	f.setReply(reply)
	return f
}

func (f *fakeRedis) setReply(reply string) { f.replyWith(func([]string) string { return reply }) }

func (f *fakeRedis) replyWith(reply func(args []string) string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dialErr, f.reply = nil, reply
}

// refuse makes dials fail until a reply is set.
func (f *fakeRedis) refuse() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dialErr = &net.OpError{Op: "dial", Net: "tcp", Err: io.ErrClosedPipe}
}

func (f *fakeRedis) dial(context.Context, string, string) (net.Conn, error) {
	f.dials.Add(1)
	time.Sleep(f.latency)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dialErr != nil {
		return nil, f.dialErr
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

func (f *fakeRedis) serve(conn net.Conn) {
	f.open.Add(1)
	defer f.open.Add(-1)
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 1<<16) // a pipe has no buffer, and a client writes whole batches
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
		case replyClose:
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
	return "-ERR unknown command\r\n" // such as HELLO
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

// readLength reads the length of a RESP array (*3) or string ($5).
func readLength(r *bufio.Reader) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// longTimeout is for tests that must not fail on a busy machine.
const longTimeout = 30 * time.Second

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

// allow calls Allow, which must not return an error.
func allow(t testing.TB, l *Limiter, r Request) Decision {
	t.Helper()
	d, err := l.Allow(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func adminClient(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	t.Cleanup(func() { client.Close() })
	return client
}

// command runs a Redis command, which must succeed.
func command(t testing.TB, client *redis.Client, args ...any) any {
	t.Helper()
	reply, err := client.Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return reply
}

// commandStats returns how often Redis has read from a connection, and has run EVALSHA.
func commandStats(t testing.TB, client *redis.Client) (reads, calls int) {
	t.Helper()
	info := command(t, client, "INFO", "all").(string)
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

func metricValue(t testing.TB, metric prometheus.Metric) int {
	t.Helper()
	var m dto.Metric
	if err := metric.Write(&m); err != nil {
		t.Fatal(err)
	}
	return int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
}

// openBreakers returns how many nodes have an open breaker.
func openBreakers(stats Stats) (open int) {
	for _, node := range stats.Nodes {
		if node.Open {
			open++
		}
	}
	return open
}

// logRecorder is a slog.Handler that keeps all lines.
type logRecorder struct {
	mu    sync.Mutex
	lines []string
	added chan struct{} // closed and replaced with each line
}

func newLogRecorder() *logRecorder { return &logRecorder{added: make(chan struct{})} }

func (r *logRecorder) logger() *slog.Logger { return slog.New(r) }

func (r *logRecorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *logRecorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *logRecorder) WithGroup(string) slog.Handler            { return r }

func (r *logRecorder) Handle(_ context.Context, record slog.Record) error {
	line := record.Message
	record.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	close(r.added)
	r.added = make(chan struct{})
	return nil
}

func (r *logRecorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.lines...)
}

// wait waits until there are n lines.
func (r *logRecorder) wait(t testing.TB, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longTimeout)
	defer cancel()
	for {
		r.mu.Lock()
		lines, added := r.lines, r.added
		r.mu.Unlock()
		if len(lines) >= n {
			return lines
		}
		select {
		case <-added:
		case <-ctx.Done():
			t.Fatalf("got %q, want %d lines", lines, n)
		}
	}
}

// keyOf returns the Redis key of a request's bucket.
func keyOf(r Request) string {
	c := r.charge()
	return "rate:" + c.key(defaultPrefix)
}

var others atomic.Uint64

// another returns a request for a bucket that no other request has, and so shares no call.
func another() Request {
	r := Request{Name: "default", Limit: perMinute}
	binary.BigEndian.PutUint64(r.Bucket[:], others.Add(1))
	return r
}

// decision returns the decision about a request for a lone bucket.
func (r result) decision(l limit.Limit, from Source) Decision {
	return decisionOf([]charge{{bucket{name: "default", limit: l}, 1}}, []result{r}, from)
}
