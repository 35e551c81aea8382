package harness

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisClient connects to a Redis that a test asks and orders about.
func RedisClient(t testing.TB, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

// Order has a Redis carry out a command.
func Order(t testing.TB, client *redis.Client, command ...any) {
	t.Helper()
	if err := client.Do(t.Context(), command...).Err(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
}

// WantClockOff fails unless a Redis takes it for that much later than it is, as faketime makes it.
func WantClockOff(t testing.TB, url string, off time.Duration) {
	t.Helper()
	now, err := RedisClient(t, url).Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	if is := time.Until(now); (is - off).Abs() > HangGuard {
		t.Fatalf("redis is off by %s, not %s: run script/bootstrap --test", is, off)
	}
}
