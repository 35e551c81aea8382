package ratelimit

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

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
