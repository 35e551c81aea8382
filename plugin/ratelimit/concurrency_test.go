package ratelimit

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// allowConcurrently calls Allow 20 times for each of many callers, and checks each decision.
func allowConcurrently(t *testing.T, callers int, l *Limiter, request func(caller int) Request,
	check func(caller int, d Decision)) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for range 20 {
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
	limiter := newLimiter(t, Options{URL: url, Timeout: longTimeout})
	request := func(i int) Request {
		return Request{Name: "default", Bucket: [32]byte{byte(i)}, Limit: hugeLimit}
	}
	command(t, adminClient(t, url), "LPUSH", keyOf(request(7)), "x")
	allowConcurrently(t, 64, limiter, request, func(i int, d Decision) {
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
	limiter := newLimiter(t, Options{URL: url, Timeout: longTimeout})
	admin := adminClient(t, url)
	request := func(int) Request { return Request{Name: "default", Limit: hugeLimit} }
	allowConcurrently(t, 64, limiter, request, func(i int, d Decision) {
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

func TestConcurrency_SharesBurstAndCalls(t *testing.T) {
	url := testenv.Redis(t)
	limiter := newLimiter(t, Options{URL: url, Timeout: longTimeout})
	admin := adminClient(t, url)
	limit := limitOf(1000, time.Second, 3000)
	request := func(int) Request { return Request{Name: "default", Limit: limit} }
	var decisions, admitted atomic.Int64
	start := time.Now()
	allowConcurrently(t, 256, limiter, request, func(_ int, d Decision) {
		decisions.Add(1)
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
	if _, calls := commandStats(t, admin); calls > int(decisions.Load())/4 {
		t.Errorf("%d calls for %d decisions, want at most a quarter", calls, decisions.Load())
	}
}

func TestConcurrency_RedirectsFailNoCall(t *testing.T) {
	withFakeCluster(t, func(c *fakeCluster) {
		c.wantAllFrom(FromRedis)
		c.promote("c:1", 1)
		wantHalvesFrom(t, c.Limiter, 32, FromRedis, FromRedis)
		if lines := c.log.all(); len(lines) != 0 {
			t.Errorf("logged %q", lines)
		}
	})
}

func TestConcurrency_HangingNodeDelaysNoOther(t *testing.T) {
	withFakeCluster(t, func(c *fakeCluster) {
		c.wantAllFrom(FromRedis)
		c.nodes["b:1"].setReply(replyNever)
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				start := time.Now()
				c.wantFrom(FromRedis, 0)
				if took := time.Since(start); took != 0 {
					t.Errorf("20 decisions beside a hanging node took %s", took)
				}
			})
			wg.Go(func() { c.wantFrom(FromLocal, 1) })
		}
		wg.Wait()
	})
}

// wantHalvesFrom makes decisions for buckets in both halves, with many callers for each.
func wantHalvesFrom(t *testing.T, l *Limiter, callers int, lower, upper Source) {
	t.Helper()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() { wantHalfFrom(t, l, 0, lower) })
		wg.Go(func() { wantHalfFrom(t, l, 1, upper) })
	}
	wg.Wait()
}

// load makes one decision per caller every 50 ms, all at the same instant. It counts the decisions
// by source.
func (s *fixture) load(callers int, duration time.Duration) (decisions map[Source]int64, slowest time.Duration) {
	var mu sync.Mutex
	decisions = make(map[Source]int64)
	end := time.Now().Add(duration)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for time.Now().Before(end) {
				d, took := s.decide()
				mu.Lock()
				decisions[d.Source]++
				slowest = max(slowest, took)
				mu.Unlock()
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return decisions, slowest
}

// counts are a fakeRedis's counters.
type counts struct{ dials, scripts, probes, trips int64 }

func (f *fakeRedis) counts() counts {
	return counts{f.dials.Load(), f.scripts.Load(), f.probes.Load(), f.trips.Load()}
}

func (c counts) minus(d counts) counts {
	return counts{c.dials - d.dials, c.scripts - d.scripts, c.probes - d.probes, c.trips - d.trips}
}
