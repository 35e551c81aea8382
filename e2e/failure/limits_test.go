package failure

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestRedisKeys_Expire(t *testing.T) {
	url := testenv.Redis(t)
	client := harness.RedisClient(t, url)
	f := harness.StartFleet(t, url)
	long := f.NewKey(harness.PerKey(2, "1 day", 2))
	for i := range f.Edges {
		f.GetLinks(t, i, long) // admitted, admitted, denied
		for range 3 {
			short := f.NewKey(harness.PerKey(100, "1 second", 100))
			f.GetLinks(t, i, short)
			f.Sell(t, i, short)
		}
	}
	wantEnds(t, client)

	// The probe of a breaker also leaves a key.
	harness.RedisDo(t, client, "CONFIG", "SET", "maxmemory", "1")
	probed := f.NewKey(harness.PerKey(1000, "1 second", 1000))
	testenv.Until(t, "the breaker opens", func() bool {
		f.GetLinks(t, 0, probed)
		return f.Edges[0].Log.HasLine("redis does not answer")
	})
	harness.RedisDo(t, client, "CONFIG", "SET", "maxmemory", "0")
	f.Edges[0].Log.Wait(t, "redis answers again")
	wantEnds(t, client)

	testenv.Until(t, "only the one-day key is left", func() bool { return client.DBSize(t.Context()).Val() == 1 })
}

// wantEnds fails the test for keys that never expire, or expire later than their bucket is full.
func wantEnds(t testing.TB, client *redis.Client) {
	t.Helper()
	keys, ctx := 0, context.Background()
	for all := client.Scan(ctx, 0, "*", 100).Iterator(); all.Next(ctx); keys++ {
		ends, longest := client.PTTL(ctx, all.Val()).Val(), int64(1000)
		if strings.HasSuffix(all.Val(), "}:2/24h0m0s/2") {
			longest = 24 * 60 * 60 * 1000
		}
		// -1 is a key without an expiry. -2, a key that has expired since the scan, is fine.
		if ends == -1 || ends.Milliseconds() > longest {
			t.Errorf("%s expires after %s", all.Val(), ends)
		}
	}
	if keys == 0 {
		t.Error("no key in redis")
	}
}
