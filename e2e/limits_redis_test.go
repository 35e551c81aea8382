package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/internal/testenv"
)

// redisClient is a connection to a Redis that a test may ask and order about.
func redisClient(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	t.Cleanup(func() { client.Close() })
	return client
}

func order(t testing.TB, client *redis.Client, command ...any) any {
	t.Helper()
	reply, err := client.Do(t.Context(), command...).Result()
	if err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	return reply
}

func TestEveryRedisKeyOfTheEdgeEnds(t *testing.T) {
	url := testenv.Redis(t)
	client := redisClient(t, url)
	f := startFleet(t, url)
	long := f.newKey(keyLimit{2, "1 day", 2})
	for i := range f.edges {
		f.look(t, i, long) // admitted, admitted, denied
		for range 3 {
			short := f.newKey(keyLimit{100, "1 second", 100})
			f.look(t, i, short)
			f.sell(t, i, short)
		}
	}
	wantEnds(t, client)

	// The probe of a breaker leaves a key, too.
	order(t, client, "CONFIG", "SET", "maxmemory", "1")
	probed := f.newKey(keyLimit{1000, "1 second", 1000})
	f.edges[0].until(t, "redis does not answer", func() { f.look(t, 0, probed) })
	order(t, client, "CONFIG", "SET", "maxmemory", "0")
	f.edges[0].log.wait(t, f.edges[0].ended, "redis answers again")
	wantEnds(t, client)

	poll(t, "only the key of a day is left", func() bool { return client.DBSize(t.Context()).Val() == 1 })
}

// until does something again until the edge has logged a text.
func (e *edge) until(t testing.TB, text string, again func()) {
	t.Helper()
	poll(t, "the edge has logged: "+text, func() bool {
		again()
		return strings.Contains(e.log.String(), text)
	})
}

// wantEnds fails for keys that live for ever, or longer than their bucket takes to fill.
func wantEnds(t testing.TB, client *redis.Client) {
	t.Helper()
	keys, ctx := 0, context.Background()
	for all := client.Scan(ctx, 0, "*", 100).Iterator(); all.Next(ctx); keys++ {
		ends, longest := client.PTTL(ctx, all.Val()).Val(), int64(1000)
		if strings.HasSuffix(all.Val(), "}:2/24h0m0s/2") {
			longest = 24 * 60 * 60 * 1000
		}
		// It may have ended since; Redis says then that there is no such key, and of one without an end that it has none.
		if ends == -1 || ends.Milliseconds() > longest {
			t.Errorf("%s ends after %s", all.Val(), ends)
		}
	}
	if keys == 0 {
		t.Error("no key in redis")
	}
}
