package failure

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestEveryRedisKeyOfTheEdgeEnds(t *testing.T) {
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

	// The probe of a breaker leaves a key, too.
	harness.RedisDo(t, client, "CONFIG", "SET", "maxmemory", "1")
	probed := f.NewKey(harness.PerKey(1000, "1 second", 1000))
	testenv.Until(t, "the edge knows that redis does not answer", func() bool {
		f.GetLinks(t, 0, probed)
		return f.Edges[0].Log.HasLine("redis does not answer")
	})
	harness.RedisDo(t, client, "CONFIG", "SET", "maxmemory", "0")
	f.Edges[0].Log.Wait(t, "redis answers again")
	wantEnds(t, client)

	testenv.Until(t, "only the key of a day is left", func() bool { return client.DBSize(t.Context()).Val() == 1 })
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
		// It may have ended since; Redis says then that there is no such key, and of one without an
		// end that it has none.
		if ends == -1 || ends.Milliseconds() > longest {
			t.Errorf("%s ends after %s", all.Val(), ends)
		}
	}
	if keys == 0 {
		t.Error("no key in redis")
	}
}
