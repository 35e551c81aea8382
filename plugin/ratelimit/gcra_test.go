package ratelimit

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/limit"
)

// gcra is implemented in Redis and by local, which must behave alike.
type gcra interface {
	take(b bucket) result
}

type redisGCRA struct {
	testing.TB
	*Limiter
}

func (r redisGCRA) take(b bucket) result {
	r.Helper()
	charges, results := []charge{{b, 1}}, make([]result, 1)
	decided, err := r.takeFromRedis(r.Context(), charges, 1, time.Now())
	if err != nil {
		r.Error(err)
		return result{}
	}
	decided.results(0, charges, results)
	return results[0]
}

type localGCRA struct{ *local }

func (l localGCRA) take(b bucket) result {
	results := make([]result, 1)
	l.local.take([]charge{{b, 1}}, results)
	return results[0]
}

// forBoth runs a test with both implementations.
func forBoth(t *testing.T, test func(t *testing.T, g gcra)) {
	t.Run("redis", func(t *testing.T) {
		test(t, redisGCRA{t, newLimiter(t, Options{URL: testenv.Redis(t), Timeout: longTimeout})})
	})
	t.Run("local", func(t *testing.T) { test(t, localGCRA{newLocal()}) })
}

func TestGCRA_FirstRequestLeavesBurstMinusOne(t *testing.T) {
	forBoth(t, func(t *testing.T, g gcra) {
		limit := limitOf(600, time.Minute, 600)
		d := g.take(bucket{limit: limit}).decision(limit, FromRedis)
		if !d.Allowed || d.Remaining != 599 || d.RetryAfter != 0 {
			t.Fatalf("got %+v, want 599 remaining", d)
		}
		if d.ResetAfter <= 0 || d.ResetAfter > 100*time.Millisecond+time.Microsecond {
			t.Fatalf("got ResetAfter %s, want 100 ms", d.ResetAfter)
		}
	})
}

func TestGCRA_DeniesAfterBurst(t *testing.T) {
	forBoth(t, func(t *testing.T, g gcra) {
		limit := limitOf(1, time.Hour, 5)
		for i := range 5 {
			if d := g.take(bucket{limit: limit}).decision(limit, FromRedis); !d.Allowed || d.Remaining != 4-i {
				t.Fatalf("request %d: got %+v, want %d remaining", i+1, d, 4-i)
			}
		}
		for range 3 { // a denied request is not charged
			d := g.take(bucket{limit: limit}).decision(limit, FromRedis)
			if d.Allowed || d.Remaining != 0 {
				t.Fatalf("got %+v, want a denial", d)
			}
			if d.RetryAfter <= 0 || d.RetryAfter > time.Hour ||
				d.ResetAfter > 5*time.Hour || d.ResetAfter < 4*time.Hour {
				t.Fatalf("got %+v, want RetryAfter up to 1 h and ResetAfter 4 to 5 h", d)
			}
		}
	})
}

func TestGCRA_BucketsAreIndependent(t *testing.T) {
	forBoth(t, func(t *testing.T, g gcra) {
		limit := limitOf(1, time.Hour, 1)
		for _, b := range []bucket{
			{name: "a", limit: limit}, {name: "b", limit: limit},
			{name: "a", owner: [32]byte{1}, limit: limit}, {name: "a", owner: [32]byte{15: 1}, limit: limit},
		} {
			if !g.take(b).allowed {
				t.Fatalf("%v is not full", b)
			}
			if g.take(b).allowed {
				t.Fatalf("%v is not empty after one request", b)
			}
		}
	})
}

func TestGCRA_ChangedLimitStartsWithFullBucket(t *testing.T) {
	forBoth(t, func(t *testing.T, g gcra) {
		limits := []limit.Limit{
			limitOf(10, time.Hour, 10),
			limitOf(20, time.Hour, 10), // a higher rate
			limitOf(20, time.Hour, 5),  // a lower burst
			limitOf(20, 2*time.Hour, 5),
			limitOf(1000, time.Minute, 1000),
		}
		for _, limit := range limits {
			for i := range limit.Burst {
				if d := g.take(bucket{limit: limit}).decision(limit, FromRedis); !d.Allowed {
					t.Fatalf("%+v: request %d denied: %+v", limit, i+1, d)
				}
			}
		}
		if g.take(bucket{limit: limits[0]}).allowed {
			t.Fatal("a former limit has a full bucket again")
		}
	})
}

func TestGCRA_ConcurrentRequestsShareBurst(t *testing.T) {
	forBoth(t, func(t *testing.T, g gcra) {
		limit := limitOf(1, time.Hour, 50)
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 10 {
					if g.take(bucket{limit: limit}).allowed {
						admitted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if got := admitted.Load(); got != 50 {
			t.Fatalf("admitted %d of 160, want the burst of 50", got)
		}
	})
}

// forBothInBubble runs a test with both implementations on a synctest bubble's clock.
func forBothInBubble(t *testing.T, test func(t *testing.T, g gcra)) {
	t.Run("redis", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, redisGCRA{t, newMiniLimiter(t)}) })
	})
	t.Run("local", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, localGCRA{newLocal()}) })
	})
}

// newMiniLimiter returns a Limiter with a miniredis on the bubble's clock.
func newMiniLimiter(t *testing.T) *Limiter {
	t.Helper()
	mini := miniredis.NewMiniRedis()
	mini.ClockTTL(true)
	t.Cleanup(mini.Close)
	dial := func(context.Context, string, string) (net.Conn, error) { return mini.Dial() }
	return newLimiter(t, Options{URL: "redis://mini", dial: dial})
}

func TestGCRA_RefillsAtRate(t *testing.T) {
	forBothInBubble(t, func(t *testing.T, g gcra) {
		limit := limitOf(60, time.Minute, 10)
		drain := func() (admitted int) {
			for g.take(bucket{limit: limit}).allowed {
				admitted++
			}
			return admitted
		}
		drain()
		time.Sleep(3*time.Second + time.Millisecond)
		if got := drain(); got != 3 {
			t.Errorf("%d admitted after 3 s, want 3", got)
		}
		time.Sleep(time.Hour)
		if got := drain(); got != 10 {
			t.Errorf("%d admitted after 1 h, want the burst of 10", got)
		}
	})
}

func TestGCRA_AdmitsAfterRetryAfter(t *testing.T) {
	limits := []limit.Limit{
		limitOf(600, time.Minute, 600), limitOf(1, time.Second, 1), limitOf(7, time.Minute, 3),
		limitOf(3, time.Second, 2), limitOf(1000, 24*time.Hour, 5), limitOf(13, 7*time.Second, 1),
	}
	forBothInBubble(t, func(t *testing.T, g gcra) {
		for _, limit := range limits {
			b := bucket{limit: limit}
			for round := range 20 {
				res := g.take(b)
				for res.allowed {
					res = g.take(b)
				}
				d := res.decision(limit, FromRedis)
				if d.RetryAfter%time.Second != 0 || d.RetryAfter < time.Second {
					t.Fatalf("%+v: got RetryAfter %s", limit, d.RetryAfter)
				}
				time.Sleep(d.RetryAfter)
				if !g.take(b).allowed {
					t.Fatalf("%+v, round %d: denied after %s", limit, round, d.RetryAfter)
				}
			}
		}
	})
}

func TestDenial_EndsByRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := newMiniLimiter(t)
		request := Request{Name: "default", Limit: limitOf(7, 10*time.Second, 2)}
		for round := range 50 {
			d := allow(t, limiter, request)
			for d.Source != FromMemory {
				d = allow(t, limiter, request)
			}
			time.Sleep(d.RetryAfter)
			if d := allow(t, limiter, request); !d.Allowed {
				t.Fatalf("round %d: got %+v", round, d)
			}
			time.Sleep(time.Duration(round) * 37 * time.Millisecond)
		}
	})
}

func TestGCRA_NeverExceedsBurstPlusRate(t *testing.T) {
	forBothInBubble(t, func(t *testing.T, g gcra) {
		limit := limitOf(50, time.Second, 20)
		admitted, start := 0, time.Now()
		for i := range 1000 {
			if g.take(bucket{limit: limit}).allowed {
				admitted++
			}
			bound := float64(limit.Burst) + time.Since(start).Seconds()*50 + 1e-6
			if float64(admitted) > bound {
				t.Fatalf("request %d: %d admitted, want at most %.2f", i, admitted, bound)
			}
			time.Sleep(time.Duration(i%7) * time.Millisecond)
		}
		if admitted < 150 { // in about 3 s
			t.Errorf("only %d admitted", admitted)
		}
	})
}

// clockTest tests a bucket while Redis's clock is set back. To the same effect, setBack moves the
// value of the bucket's key into the future.
type clockTest struct {
	*testing.T
	*Limiter
	request Request
}

// drain empties the bucket. It returns the number of admissions, and the denial.
func (c *clockTest) drain() (admitted int, denial Decision) {
	c.Helper()
	for denial = allow(c, c.Limiter, c.request); denial.Allowed; denial = allow(c, c.Limiter, c.request) {
		admitted++
	}
	return admitted, denial
}

func (c *clockTest) setBack(d time.Duration) {
	c.Helper()
	client := c.upstream.client.Load()
	key := keyOf(c.request)
	value, err := client.Get(c.Context(), key).Float64()
	if err != nil {
		c.Fatal(err)
	}
	value += d.Seconds()
	ttl := client.PTTL(c.Context(), key).Val() + d
	if err := client.Set(c.Context(), key, strconv.FormatFloat(value, 'f', -1, 64), ttl).Err(); err != nil {
		c.Fatal(err)
	}
}

func withClockTest(t *testing.T, test func(c *clockTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(&clockTest{t, newMiniLimiter(t), Request{Name: "default", Limit: perMinute}})
	})
}

func TestClockSetBack_CostsOnlyThatTime(t *testing.T) {
	withClockTest(t, func(c *clockTest) {
		if d := allow(c, c.Limiter, c.request); d.Remaining != 599 {
			t.Fatalf("got %+v", d)
		}
		c.setBack(5050 * time.Millisecond) // of the minute that the bucket holds
		if admitted, denial := c.drain(); admitted != 548 || denial.Source != FromRedis {
			t.Errorf("%d admitted, then %+v; want 548 and a denial from redis", admitted, denial)
		}
	})
}

func TestClockSetBack_SmallDelaysEmptyBucket(t *testing.T) {
	withClockTest(t, func(c *clockTest) {
		c.drain()
		c.setBack(maxClockSetBack)
		time.Sleep(150 * time.Millisecond) // the denial is remembered for 100 ms
		d := allow(c, c.Limiter, c.request)
		if d.Allowed || d.Source != FromRedis || d.RetryAfter != time.Second {
			t.Fatalf("got %+v, want a denial from redis for 1 s", d)
		}
		time.Sleep(d.RetryAfter)
		if d := allow(c, c.Limiter, c.request); !d.Allowed || d.Source != FromRedis {
			t.Errorf("got %+v after RetryAfter", d)
		}
	})
}

func TestClockSetBack_LargeDecidesLocally(t *testing.T) {
	withClockTest(t, func(c *clockTest) {
		c.drain()
		c.setBack(time.Hour)
		time.Sleep(150 * time.Millisecond)
		admitted, denial := c.drain()
		if admitted != 600 || denial.Source != FromLocal || denial.RetryAfter != time.Second {
			t.Fatalf("%d admitted, then %+v; want the burst and a local denial", admitted, denial)
		}
		time.Sleep(30 * time.Second)
		if admitted, _ := c.drain(); admitted != 300 {
			t.Errorf("%d admitted in 30 s, want 300", admitted)
		}
		time.Sleep(time.Hour)
		if d := allow(c, c.Limiter, c.request); !d.Allowed || d.Source != FromRedis {
			t.Errorf("got %+v after the clock has caught up", d)
		}
		if got := metricValue(c, c.metrics.failures[failReply]); got != 902 {
			t.Errorf("counted %d failures, want 902", got)
		}
	})
}
