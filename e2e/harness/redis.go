package harness

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/internal/testenv"
)

// RedisClient returns a client that is closed when the test ends.
func RedisClient(t testing.TB, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	testenv.NoError(t, err)
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

// RedisDo runs a Redis command. An error fails the test.
func RedisDo(t testing.TB, client *redis.Client, command ...any) {
	t.Helper()
	if err := client.Do(t.Context(), command...).Err(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
}

// WantClockSkew fails the test unless the clock of a Redis is ahead by off, as faketime sets it.
func WantClockSkew(t testing.TB, url string, off time.Duration) {
	t.Helper()
	now, err := RedisClient(t, url).Time(t.Context()).Result()
	testenv.NoError(t, err)
	if is := time.Until(now); (is - off).Abs() > HangGuard {
		t.Fatalf("redis is off by %s, not %s: run script/bootstrap --test", is, off)
	}
}
