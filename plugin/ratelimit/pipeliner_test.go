package ratelimit

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// herd asks n times at once, a millisecond of a bubble's time apart if so told,
// and returns who decided and how long that took.
func (s *outageSuite) herd(n int, apart time.Duration) (sources []Source, took []time.Duration) {
	sources, took = make([]Source, n), make([]time.Duration, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * apart)
			start := time.Now()
			d, err := s.Allow(s.Context(), Request{Name: "default", Limit: perMinute})
			if err != nil {
				s.Error(err)
			}
			sources[i], took[i] = d.Source, time.Since(start)
		})
	}
	wg.Wait()
	return sources, took
}

// gated answers the first n calls when the gate opens, and all others as told.
func (f *fakeRedis) gated(n int64, otherwise string) (open func()) {
	gate := make(chan struct{})
	var calls atomic.Int64
	f.answerBy(func([]string) string {
		if calls.Add(1) <= n {
			<-gate
			return replyFresh
		}
		return otherwise
	})
	return sync.OnceFunc(func() { close(gate) })
}

func TestPipeliner_LoneCallIsSentImmediately(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		s.want(10, FromRedis, 0)
		if got := s.redis.trips.Load(); got != 10 {
			t.Errorf("%d round trips for 10 calls", got)
		}
	})
}

func TestPipeliner_SharesRoundTrips(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		open := s.redis.gated(maxInFlight, replyFresh)
		var wg sync.WaitGroup
		wg.Go(func() {
			sources, took := s.herd(maxInFlight+maxBatch+1, 0)
			for i := range sources {
				if sources[i] != FromRedis || took[i] != 0 {
					t.Errorf("call %d: decided by %s after %s", i, sources[i], took[i])
				}
			}
		})
		synctest.Wait()
		if got := s.redis.trips.Load(); got != maxInFlight {
			t.Errorf("%d round trips are under way, want %d", got, maxInFlight)
		}
		open()
		wg.Wait()
		if got := s.redis.trips.Load(); got != maxInFlight+2 {
			t.Errorf("%d round trips, want %d and two for all who waited: a full batch and one more", got, maxInFlight)
		}
		s.want(maxInFlight+1, FromRedis, 0) // all are free again
	})
}

func TestPipeliner_CallReturnsAtItsDeadline(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		s.redis.answer(replyNever)
		sources, took := s.herd(200, time.Millisecond)
		for i := range sources {
			early := took[i] < defaultTimeout && i < 50 // before the breaker can be open
			if sources[i] != FromLocal || took[i] > defaultTimeout || early {
				t.Errorf("call %d: decided by %s after %s", i, sources[i], took[i])
			}
		}
		if got := took[199]; got != 0 {
			t.Errorf("the breaker is still closed: the last call took %s", got)
		}
	})
}

func TestPipeliner_SkipsExpiredCalls(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		open := s.redis.gated(maxInFlight, replyFresh)
		defer open()
		var wg sync.WaitGroup
		wg.Go(func() { s.herd(maxInFlight+5, 0) })
		time.Sleep(defaultTimeout / 2)
		wg.Go(func() { s.herd(3, 0) }) // in one batch with the five, who give up when it can go
		wg.Wait()
		if got := s.redis.scripts.Load(); got != maxInFlight+3 {
			t.Errorf("redis got %d calls, want %d", got, maxInFlight+3)
		}
	})
}

func TestPipeliner_ReusedTimerFiresOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, never := &pipeliner{}, &batch{done: make(chan struct{})}
		for i := range 20 { // the race detector drops some of what a sync.Pool is given
			start, left := time.Now(), time.Duration(20-i)*time.Millisecond
			if p.await(never, start.Add(left)) || time.Since(start) != left {
				t.Errorf("waited %s, want %s", time.Since(start), left)
			}
		}
	})
}

func TestBreaker_CountsRoundTripsNotCalls(t *testing.T) {
	answered := func(name string) redis.Cmder {
		cmd := redis.NewCmd(t.Context(), name)
		cmd.SetVal([]any{int64(1), int64(0), "-1", "0.1"})
		return cmd
	}
	failed := func(err error) redis.Cmder {
		cmd := redis.NewCmd(t.Context(), "evalsha")
		cmd.SetErr(err)
		return cmd
	}
	late, key := context.DeadlineExceeded, redisError("WRONGTYPE Operation against a key holding the wrong kind of value")
	tests := []struct {
		name string
		cmds []redis.Cmder
		want int32 // failures in a row, after one
	}{
		{"all are answered", []redis.Cmder{answered("evalsha"), answered("evalsha")}, 0},
		{"none is", []redis.Cmder{failed(late), failed(late), failed(late), failed(late)}, 2},
		{"one is", []redis.Cmder{failed(late), answered("evalsha"), failed(late)}, 0},
		{"one has a key that holds something else", []redis.Cmder{failed(key), failed(late)}, 2},
		{"all have such keys", []redis.Cmder{failed(key), failed(key)}, 1},
		{"an answer that is not the script's", []redis.Cmder{redis.NewCmd(t.Context(), "evalsha")}, 2},
		{"after an -ASK", []redis.Cmder{answered("asking"), failed(late)}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &breaker{fleet: newLimiter(t, Options{URL: "redis://fake"}).fleet}
			b.failed.Store(1)
			b.recordAll(0, tt.cmds)
			if got := b.failed.Load(); got != tt.want {
				t.Errorf("%d failures in a row, want %d", got, tt.want)
			}
		})
	}
}

// redisError is an error that Redis answers.
type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

func TestPipeliner_FailedBatchCountsOnce(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		open := s.redis.gated(maxInFlight, "-LOADING\r\n")
		defer open()
		var wg sync.WaitGroup
		wg.Go(func() { s.herd(maxInFlight+64, 0) })
		synctest.Wait()
		open()
		wg.Wait()
		if st := s.Stats(); st.Nodes[0].Open {
			t.Fatal("one round trip opened the breaker")
		}
		s.want(tolerated, FromLocal, 0)
		if st := s.Stats(); !st.Nodes[0].Open || st.Nodes[0].Cause != "loading" {
			t.Errorf("%d more did not: %+v", tolerated, st)
		}
		s.redis.answer(replyFresh)
		time.Sleep(time.Second)
		if sources, _ := s.herd(64, 0); sources[63] != FromRedis {
			t.Errorf("decided by %s when redis is back", sources[63])
		}
	})
}

func TestClose_ReleasesWaitingCalls(t *testing.T) {
	for name, after := range map[string]time.Duration{
		"for the first two":             10 * time.Millisecond,
		"in a batch and for that batch": 60 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			inOutage(t, func(s *outageSuite) {
				s.redis.answer(replyNever)
				var wg sync.WaitGroup
				wg.Go(func() {
					sources, took := s.herd(80, time.Millisecond)
					for i := range sources {
						left := max(0, after-time.Duration(i)*time.Millisecond)
						if sources[i] != FromLocal || took[i] > left {
							t.Errorf("call %d: decided by %s after %s, %s before the end", i, sources[i], took[i], left)
						}
					}
				})
				time.Sleep(after)
				start := time.Now()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("Close took %s", took)
				}
				wg.Wait()
			})
		})
	}
}
