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

// implementations are the two of GCRA that must behave alike.
var implementations = map[string]func(t *testing.T) gcra{
	"redis": func(t *testing.T) gcra {
		return remote{t, newLimiter(t, Options{URL: testenv.Redis(t), Timeout: patience})}
	},
	"local": func(*testing.T) gcra { return newLocal() },
}

type gcra interface {
	take(b bucket) verdict
}

type remote struct {
	testing.TB
	*Limiter
}

func (r remote) take(b bucket) verdict {
	r.Helper()
	v, err := r.ask(r.Context(), b, time.Now())
	if err != nil {
		r.Error(err)
	}
	return v
}

// both runs a test of behaviour over both implementations.
func both(t *testing.T, test func(t *testing.T, g gcra)) {
	for name, implementation := range implementations {
		t.Run(name, func(t *testing.T) { test(t, implementation(t)) })
	}
}

func TestGCRA_FirstRequestLeavesBurstMinusOne(t *testing.T) {
	both(t, func(t *testing.T, g gcra) {
		limit := limitOf(600, time.Minute, 600)
		d := g.take(bucket{limit: limit}).decision(limit, FromRedis)
		if !d.Allowed || d.Remaining != 599 || d.RetryAfter != 0 {
			t.Fatalf("got %+v, want 599 remaining", d)
		}
		if d.ResetAfter <= 0 || d.ResetAfter > 100*time.Millisecond+time.Microsecond {
			t.Fatalf("one of 600 a minute costs 100 ms, not %s", d.ResetAfter)
		}
	})
}

func TestGCRA_DeniesAfterBurst(t *testing.T) {
	both(t, func(t *testing.T, g gcra) {
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
			if d.RetryAfter <= 0 || d.RetryAfter > time.Hour || d.ResetAfter > 5*time.Hour || d.ResetAfter < 4*time.Hour {
				t.Fatalf("got %+v, want RetryAfter of up to 1 h and ResetAfter of up to 5 h", d)
			}
		}
	})
}

func TestGCRA_BucketsAreIndependent(t *testing.T) {
	both(t, func(t *testing.T, g gcra) {
		limit := limitOf(1, time.Hour, 1)
		for _, b := range []bucket{
			{"a", [32]byte{}, limit}, {"b", [32]byte{}, limit}, {"a", [32]byte{1}, limit}, {"a", [32]byte{15: 1}, limit},
		} {
			if !g.take(b).allowed {
				t.Fatalf("%v shares its bucket with another", b)
			}
			if g.take(b).allowed {
				t.Fatalf("%v has no bucket", b)
			}
		}
	})
}

func TestGCRA_ChangedLimitStartsWithFullBucket(t *testing.T) {
	both(t, func(t *testing.T, g gcra) {
		limits := []limit.Limit{
			limitOf(10, time.Hour, 10),
			limitOf(20, time.Hour, 10), // a raised rate, and only that
			limitOf(20, time.Hour, 5),  // a lowered burst
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
		if v := g.take(bucket{limit: limits[0]}); v.allowed {
			t.Fatal("a limit that comes back within its period finds a full bucket")
		}
	})
}

func TestGCRA_ConcurrentRequestsShareBurst(t *testing.T) {
	both(t, func(t *testing.T, g gcra) {
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

// inBubble runs a test of time over both implementations, on a fake clock.
func inBubble(t *testing.T, test func(t *testing.T, g gcra)) {
	t.Run("redis", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, remote{t, newMiniLimiter(t)}) })
	})
	t.Run("local", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, newLocal()) })
	})
}

// newMiniLimiter asks a Redis that lives on the bubble's clock.
func newMiniLimiter(t *testing.T) *Limiter {
	t.Helper()
	mini := miniredis.NewMiniRedis()
	mini.ClockTTL(true)
	t.Cleanup(mini.Close)
	dial := func(context.Context, string, string) (net.Conn, error) { return mini.Dial() }
	return newLimiter(t, Options{URL: "redis://mini", dial: dial})
}

func TestGCRA_RefillsAtRate(t *testing.T) {
	inBubble(t, func(t *testing.T, g gcra) {
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
			t.Errorf("after 3 s at one a second: %d admitted", got)
		}
		time.Sleep(time.Hour)
		if got := drain(); got != 10 {
			t.Errorf("after an hour: %d admitted, want the burst of 10", got)
		}
	})
}

func TestGCRA_AdmitsAfterRetryAfter(t *testing.T) {
	limits := []limit.Limit{
		limitOf(600, time.Minute, 600), limitOf(1, time.Second, 1), limitOf(7, time.Minute, 3), limitOf(3, time.Second, 2),
		limitOf(1000, 24*time.Hour, 5), limitOf(13, 7*time.Second, 1),
	}
	inBubble(t, func(t *testing.T, g gcra) {
		for _, limit := range limits {
			b := bucket{limit: limit}
			for round := range 20 {
				v := g.take(b)
				for v.allowed {
					v = g.take(b)
				}
				d := v.decision(limit, FromRedis)
				if d.RetryAfter%time.Second != 0 || d.RetryAfter < time.Second {
					t.Fatalf("%+v: RetryAfter is %s", limit, d.RetryAfter)
				}
				time.Sleep(d.RetryAfter)
				if !g.take(b).allowed {
					t.Fatalf("%+v, round %d: denied after its wait of %s", limit, round, d.RetryAfter)
				}
			}
		}
	})
}

func TestDenial_EndsByRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := newMiniLimiter(t)
		request := Request{Name: "default", Limit: limitOf(7, 10*time.Second, 2)}
		ask := func() Decision { return ask(t, limiter, request) }
		for round := range 50 {
			d := ask()
			for d.Source != FromMemory {
				d = ask()
			}
			time.Sleep(d.RetryAfter)
			if d := ask(); !d.Allowed {
				t.Fatalf("round %d: got %+v", round, d)
			}
			time.Sleep(time.Duration(round) * 37 * time.Millisecond)
		}
	})
}

func TestGCRA_NeverExceedsBurstPlusRate(t *testing.T) {
	inBubble(t, func(t *testing.T, g gcra) {
		limit := limitOf(50, time.Second, 20)
		admitted, start := 0, time.Now()
		for i := range 1000 {
			if g.take(bucket{limit: limit}).allowed {
				admitted++
			}
			bound := float64(limit.Burst) + time.Since(start).Seconds()*50 + 1e-6
			if float64(admitted) > bound {
				t.Fatalf("request %d: %d admitted, at most %.2f may be", i, admitted, bound)
			}
			time.Sleep(time.Duration(i%7) * time.Millisecond)
		}
		if admitted < 150 { // some 3 s
			t.Errorf("only %d admitted", admitted)
		}
	})
}

// setBack is a bucket in use whose Redis has its clock set back: its key is put as far
// into the future, which is the same to GCRA.
type setBack struct {
	*testing.T
	*Limiter
	request Request
}

// drain empties the bucket, and says how many it admitted and how it denied.
func (s *setBack) drain() (admitted int, last Decision) {
	s.Helper()
	for last = ask(s, s.Limiter, s.request); last.Allowed; last = ask(s, s.Limiter, s.request) {
		admitted++
	}
	return admitted, last
}

func (s *setBack) by(d time.Duration) {
	s.Helper()
	b := bucket{s.request.Name, s.request.Bucket, s.request.Limit}
	key := b.key("rate:" + s.prefix)
	full, err := s.fleet.link.Load().client.Get(s.Context(), key).Float64()
	if err != nil {
		s.Fatal(err)
	}
	left := s.fleet.link.Load().client.PTTL(s.Context(), key).Val()
	if err := s.fleet.link.Load().client.Set(s.Context(), key, strconv.FormatFloat(full+d.Seconds(), 'f', -1, 64), left+d).Err(); err != nil {
		s.Fatal(err)
	}
}

func whenSetBack(t *testing.T, test func(s *setBack)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(&setBack{t, newMiniLimiter(t), Request{Name: "default", Limit: perMinute}})
	})
}

func TestClockSetBack_CostsOnlyThatTime(t *testing.T) {
	whenSetBack(t, func(s *setBack) {
		if d := ask(s, s.Limiter, s.request); d.Remaining != 599 {
			t.Fatalf("got %+v", d)
		}
		s.by(5050 * time.Millisecond) // of the minute that the bucket holds
		if admitted, last := s.drain(); admitted != 548 || last.Source != FromRedis {
			t.Errorf("%d admitted, then %+v, want 548 and then denied by redis", admitted, last)
		}
	})
}

func TestClockSetBack_SmallDelaysEmptyBucket(t *testing.T) {
	whenSetBack(t, func(s *setBack) {
		s.drain()
		s.by(maxSetBack)
		time.Sleep(150 * time.Millisecond) // the denial is remembered for 100 ms
		d := ask(s, s.Limiter, s.request)
		if d.Allowed || d.Source != FromRedis || d.RetryAfter != time.Second {
			t.Fatalf("got %+v, want it denied by redis for a moment", d)
		}
		time.Sleep(d.RetryAfter)
		if d := ask(s, s.Limiter, s.request); !d.Allowed || d.Source != FromRedis {
			t.Errorf("got %+v after the wait", d)
		}
	})
}

func TestClockSetBack_LargeDecidesLocally(t *testing.T) {
	whenSetBack(t, func(s *setBack) {
		s.drain()
		s.by(time.Hour)
		time.Sleep(150 * time.Millisecond)
		if admitted, last := s.drain(); admitted != 600 || last.Source != FromLocal || last.RetryAfter != time.Second {
			t.Fatalf("%d admitted, then %+v, want the burst, counted here", admitted, last)
		}
		time.Sleep(30 * time.Second)
		if admitted, _ := s.drain(); admitted != 300 {
			t.Errorf("%d admitted in half a minute, want 300", admitted)
		}
		time.Sleep(time.Hour)
		if d := ask(s, s.Limiter, s.request); !d.Allowed || d.Source != FromRedis {
			t.Errorf("got %+v when the clock is where it was", d)
		}
		if got := count(s, s.metrics.failures[failAnswer]); got != 902 {
			t.Errorf("counted %d answers that are not the script's", got)
		}
	})
}
