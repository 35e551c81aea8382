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

// allowEach starts n calls of Allow, one after each interval. It returns the source and duration of
// each.
func (s *fixture) allowEach(n int, interval time.Duration) (sources []Source, took []time.Duration) {
	sources, took = make([]Source, n), make([]time.Duration, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * interval)
			start := time.Now()
			d, err := s.Allow(s.Context(), another())
			if err != nil {
				s.Error(err)
			}
			sources[i], took[i] = d.Source, time.Since(start)
		})
	}
	wg.Wait()
	return sources, took
}

// gate delays the replies to the first n calls until open is called. Further calls get reply.
func (f *fakeRedis) gate(n int64, reply string) (open func()) {
	gate := make(chan struct{})
	var calls atomic.Int64
	f.replyWith(func([]string) string {
		if calls.Add(1) <= n {
			<-gate
			return replyFresh
		}
		return reply
	})
	return sync.OnceFunc(func() { close(gate) })
}

func TestPipeliner_LoneCallIsSentImmediately(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.want(10, FromRedis, 0)
		if got := s.redis.trips.Load(); got != 10 {
			t.Errorf("%d round trips for 10 calls, want 10", got)
		}
	})
}

func TestPipeliner_SharesRoundTrips(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		open := s.redis.gate(maxInFlight, replyFresh)
		var wg sync.WaitGroup
		wg.Go(func() {
			sources, took := s.allowEach(maxInFlight+maxBatch+1, 0)
			for i := range sources {
				if sources[i] != FromRedis || took[i] != 0 {
					t.Errorf("call %d: got %s after %s", i, sources[i], took[i])
				}
			}
		})
		synctest.Wait()
		if got := s.redis.trips.Load(); got != maxInFlight {
			t.Errorf("%d round trips are in flight, want %d", got, maxInFlight)
		}
		open()
		wg.Wait()
		if got := s.redis.trips.Load(); got != maxInFlight+2 {
			t.Errorf("%d round trips, want %d, a full batch and another one", got, maxInFlight)
		}
		s.want(maxInFlight+1, FromRedis, 0)
	})
}

func TestPipeliner_CallReturnsAtItsDeadline(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.setReply(replyNever)
		sources, took := s.allowEach(200, time.Millisecond)
		for i := range sources {
			early := took[i] < defaultTimeout && i < 50 // before the breaker can be open
			if sources[i] != FromLocal || took[i] > defaultTimeout || early {
				t.Errorf("call %d: got %s after %s", i, sources[i], took[i])
			}
		}
		if got := took[199]; got != 0 {
			t.Errorf("the last call took %s, want an open breaker", got)
		}
	})
}

func TestPipeliner_SkipsExpiredCalls(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		open := s.redis.gate(maxInFlight, replyFresh)
		defer open()
		var wg sync.WaitGroup
		wg.Go(func() { s.allowEach(maxInFlight+5, 0) })
		time.Sleep(defaultTimeout / 2)
		wg.Go(func() { s.allowEach(3, 0) }) // in a batch with the five, which expire first
		wg.Wait()
		if got := s.redis.scripts.Load(); got != maxInFlight+3 {
			t.Errorf("redis got %d calls, want %d", got, maxInFlight+3)
		}
	})
}

func TestPipeliner_ReusedTimerFiresOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, never := &pipeliner{}, &batch{done: make(chan struct{})}
		for i := range 20 { // with -race, a sync.Pool drops some values
			start, left := time.Now(), time.Duration(20-i)*time.Millisecond
			if p.wait(never, start.Add(left)) || time.Since(start) != left {
				t.Errorf("waited %s, want %s", time.Since(start), left)
			}
		}
	})
}

func TestBreaker_CountsRoundTripsNotCalls(t *testing.T) {
	succeeded := func(name string) redis.Cmder {
		cmd := redis.NewCmd(t.Context(), name)
		cmd.SetVal([]any{int64(1), int64(0), "-1", "0.1"})
		return cmd
	}
	failed := func(err error) redis.Cmder {
		cmd := redis.NewCmd(t.Context(), "evalsha")
		cmd.SetErr(err)
		return cmd
	}
	late, key := context.DeadlineExceeded, redisError("WRONGTYPE Operation against a key")
	tests := []struct {
		name string
		cmds []redis.Cmder
		want int32 // failures in a row, starting with one
	}{
		{"all succeed", []redis.Cmder{succeeded("evalsha"), succeeded("evalsha")}, 0},
		{"all fail", []redis.Cmder{failed(late), failed(late), failed(late), failed(late)}, 2},
		{"one succeeds", []redis.Cmder{failed(late), succeeded("evalsha"), failed(late)}, 0},
		{"one has a bad key", []redis.Cmder{failed(key), failed(late)}, 2},
		{"all have bad keys", []redis.Cmder{failed(key), failed(key)}, 1},
		{"unexpected reply", []redis.Cmder{redis.NewCmd(t.Context(), "evalsha")}, 2},
		{"after ASK", []redis.Cmder{succeeded("asking"), failed(late)}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &breaker{upstream: newLimiter(t, Options{URL: "redis://fake"}).upstream}
			b.failures.Store(1)
			b.recordPipeline(0, tt.cmds)
			if got := b.failures.Load(); got != tt.want {
				t.Errorf("%d failures in a row, want %d", got, tt.want)
			}
		})
	}
}

// redisError is an error from Redis.
type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

func TestPipeliner_FailedBatchCountsOnce(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		open := s.redis.gate(maxInFlight, "-LOADING\r\n")
		defer open()
		var wg sync.WaitGroup
		wg.Go(func() { s.allowEach(maxInFlight+64, 0) })
		synctest.Wait()
		open()
		wg.Wait()
		if st := s.Stats(); st.Nodes[0].Open {
			t.Fatal("one round trip opened the breaker")
		}
		s.want(failureThreshold, FromLocal, 0)
		if st := s.Stats(); !st.Nodes[0].Open || st.Nodes[0].Cause != "loading" {
			t.Errorf("%d more did not open it: %+v", failureThreshold, st)
		}
		s.redis.setReply(replyFresh)
		time.Sleep(time.Second)
		if sources, _ := s.allowEach(64, 0); sources[63] != FromRedis {
			t.Errorf("got %s after the outage", sources[63])
		}
	})
}

func TestClose_ReleasesWaitingCalls(t *testing.T) {
	for name, after := range map[string]time.Duration{
		"for the first round trips": 10 * time.Millisecond,
		"for batches":               60 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			withFakeRedis(t, func(s *fixture) {
				s.redis.setReply(replyNever)
				var wg sync.WaitGroup
				wg.Go(func() {
					sources, took := s.allowEach(80, time.Millisecond)
					for i := range sources {
						left := max(0, after-time.Duration(i)*time.Millisecond)
						if sources[i] != FromLocal || took[i] > left {
							t.Errorf("call %d: got %s after %s, want local within %s", i, sources[i], took[i], left)
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
