package ratelimit

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// herdOf has many callers ask many times at once, and checks each decision.
func herdOf(t *testing.T, callers, times int, l *Limiter, request func(caller int) Request, check func(caller int, d Decision)) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for range times {
				d, err := l.Allow(t.Context(), request(i))
				if err != nil {
					t.Error(err)
					return
				}
				check(i, d)
			}
		})
	}
	wg.Wait()
}

func TestConcurrency_BadKeyFailsAlone(t *testing.T) {
	url := testenv.Redis(t)
	limiter := newLimiter(t, Options{URL: url, Timeout: patience})
	request := func(i int) Request {
		return Request{Name: "default", Bucket: [32]byte{byte(i)}, Limit: plenty}
	}
	bad := bucket{"default", [32]byte{7}, plenty}
	order(t, control(t, url), "LPUSH", bad.key("rate:"+defaultPrefix), "x")
	herdOf(t, 64, 20, limiter, request, func(i int, d Decision) {
		want := FromRedis
		if i == 7 {
			want = FromLocal
		}
		if d.Source != want || !d.Allowed {
			t.Errorf("caller %d: got %+v, want it from %s", i, d, want)
		}
	})
}

func TestConcurrency_ScriptFlushFailsNoCall(t *testing.T) {
	url := testenv.Redis(t)
	limiter := newLimiter(t, Options{URL: url, Timeout: patience})
	admin := control(t, url)
	request := func(int) Request { return Request{Name: "default", Limit: plenty} }
	herdOf(t, 64, 20, limiter, request, func(i int, d Decision) {
		if d.Source != FromRedis {
			t.Errorf("got %+v", d)
		}
		if i == 0 {
			if err := admin.ScriptFlush(t.Context()).Err(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestConcurrency_SharesBurstAndRoundTrips(t *testing.T) {
	url := testenv.Redis(t)
	limiter := newLimiter(t, Options{URL: url, Timeout: patience})
	admin := control(t, url)
	limit := limitOf(1000, time.Second, 3000)
	request := func(int) Request { return Request{Name: "default", Limit: limit} }
	var admitted atomic.Int64
	start := time.Now()
	herdOf(t, 256, 20, limiter, request, func(_ int, d Decision) {
		if d.Source == FromLocal {
			t.Errorf("got %+v", d)
		}
		if d.Allowed {
			admitted.Add(1)
		}
	})
	bound := int64(float64(limit.Burst) + float64(limit.Rate)*time.Since(start).Seconds() + 1)
	if got := admitted.Load(); got < int64(limit.Burst) || got > bound {
		t.Errorf("admitted %d, want %d … %d", got, limit.Burst, bound)
	}
	reads, calls := counters(t, admin)
	if calls < limit.Burst || reads > calls/2 {
		t.Errorf("redis read %d times for %d calls", reads, calls)
	}
}

func TestConcurrency_RedirectsFailNoCall(t *testing.T) {
	inCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 0)
		c.wantFrom(FromRedis, 1)
		c.promote("c:1", 1) // b answers -MOVED from now on
		c.bothHalves(32, FromRedis, FromRedis)
		if lines := c.journal.all(); len(lines) != 0 {
			t.Errorf("logged %q", lines)
		}
	})
}

func TestConcurrency_HangingNodeDelaysNoOther(t *testing.T) {
	inCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 0)
		c.wantFrom(FromRedis, 1)
		c.nodes["b:1"].answer(replyNever)
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				start := time.Now()
				c.wantFrom(FromRedis, 0)
				if took := time.Since(start); took != 0 {
					t.Errorf("20 decisions beside a mute shard took %s", took)
				}
			})
			wg.Go(func() { c.wantFrom(FromLocal, 1) })
		}
		wg.Wait()
	})
}

// bothHalves asks for buckets of both halves, each from many callers at once.
func (c *fakeCluster) bothHalves(callers int, lower, upper Source) {
	c.Helper()
	askBothHalves(c.T, c.Limiter, callers, lower, upper)
}

func askBothHalves(t *testing.T, l *Limiter, callers int, lower, upper Source) {
	t.Helper()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() { wantHalfFrom(t, l, 0, lower) })
		wg.Go(func() { wantHalfFrom(t, l, 1, upper) })
	}
	wg.Wait()
}

// stampede has many callers ask at the same instants, again and again, and counts the decisions by their source.
func (s *outageSuite) stampede(callers int, during time.Duration) (decided map[Source]int64, slowest time.Duration) {
	var mu sync.Mutex
	decided = make(map[Source]int64)
	end := time.Now().Add(during)
	var herd sync.WaitGroup
	for range callers {
		herd.Go(func() {
			for time.Now().Before(end) {
				d, took := s.decide()
				mu.Lock()
				decided[d.Source]++
				slowest = max(slowest, took)
				mu.Unlock()
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	herd.Wait()
	return decided, slowest
}

// counts is what a fake Redis has counted.
type counts struct{ dials, scripts, probes, trips int64 }

func (f *fakeRedis) counted() counts {
	return counts{f.dials.Load(), f.scripts.Load(), f.probes.Load(), f.trips.Load()}
}

func (c counts) less(d counts) counts {
	return counts{c.dials - d.dials, c.scripts - d.scripts, c.probes - d.probes, c.trips - d.trips}
}
