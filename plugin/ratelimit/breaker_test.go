package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fixture is a Limiter in a synctest bubble, with a fake Redis.
type fixture struct {
	*testing.T
	*Limiter
	redis *fakeRedis
	log   *logRecorder
}

func withFakeRedis(t *testing.T, test func(s *fixture)) { withFakeRedisOptions(t, Options{}, test) }

func withFakeRedisOptions(t *testing.T, o Options, test func(s *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &fixture{T: t, redis: newFakeRedis(replyFresh), log: newLogRecorder()}
		o.URL, o.Logger, o.dial = cmp.Or(o.URL, "redis://fake?pool_size=200"), s.log.logger(), s.redis.dial
		t.Cleanup(func() { time.Sleep(s.redis.latency) }) // until the fake sees a closed pipe
		s.Limiter = newLimiter(t, o)
		test(s)
	})
}

func (s *fixture) allow(r Request) Decision {
	s.Helper()
	return allow(s, s.Limiter, r)
}

// decide makes one decision, and returns how long it took.
func (s *fixture) decide() (Decision, time.Duration) {
	s.Helper()
	start := time.Now()
	d := s.allow(another())
	return d, time.Since(start)
}

// want makes decisions. Each must allow the request, have this source and take exactly that long.
func (s *fixture) want(times int, from Source, took time.Duration) {
	s.Helper()
	for i := range times {
		if d, t := s.decide(); d.Source != from || t != took || !d.Allowed {
			s.Fatalf("decision %d: got %+v after %s, want it from %s after %s", i+1, d, t, from, took)
		}
	}
}

func TestBreaker_OpensAfterThreeFailures(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.setReply(replyNever)
		s.want(3, FromLocal, defaultTimeout)
		s.want(100, FromLocal, 0)
		if got := s.redis.scripts.Load(); got != 3 {
			t.Errorf("called redis %d times, want 3", got)
		}
	})
}

func TestBreaker_OpensAfterRefusedDial(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.refuse()
		s.want(100, FromLocal, 0)
		if got := s.redis.dials.Load(); got != 1 {
			t.Errorf("dialed %d times, want once", got)
		}
	})
}

func TestBreaker_StaysClosedIfRedisAnswersBetween(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		for range 5 {
			s.redis.setReply("-LOADING\r\n")
			s.want(2, FromLocal, 0)
			s.redis.setReply(replyFresh)
			s.want(1, FromRedis, 0)
		}
		if lines := s.log.all(); len(lines) > 0 {
			t.Errorf("logged %q", lines)
		}
	})
}

func TestProbe_BacksOff(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.setReply("-LOADING Redis is loading the dataset in memory\r\n")
		s.want(3, FromLocal, 0)
		start := time.Now()
		var at []time.Duration
		s.redis.replyWith(func([]string) string {
			at = append(at, time.Since(start))
			return "-LOADING Redis is loading the dataset in memory\r\n"
		})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		const ms = time.Millisecond
		want := []time.Duration{100 * ms, 300 * ms, 700 * ms, 1500 * ms, 2500 * ms, 3500 * ms, 4500 * ms}
		if !slices.Equal(at, want) {
			t.Errorf("probed at %v, want %v", at, want)
		}
	})
}

func TestProbe_WritesToTheSlotThatFailed(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		var calls [][]string
		s.redis.replyWith(func(args []string) string {
			calls = append(calls, args)
			return "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
		})
		s.want(3, FromLocal, 0)
		time.Sleep(minProbeInterval)
		synctest.Wait()
		bucket, probe := calls[2], calls[3]
		if probe[3] != bucket[3]+":probe" || !strings.Contains(bucket[3], "{") {
			t.Errorf("got the probe key %q for %q, want the same hash tag", probe[3], bucket[3])
		}
		if !slices.Equal(probe[4:], []string{"1000", "1000", "1", "1"}) {
			t.Errorf("the probe's limit is %q, but a denied probe would write nothing", probe[4:])
		}
	})
}

func TestProbe_OneAtATimeUnderLoad(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		var probing, most atomic.Int64
		s.redis.replyWith(func(args []string) string {
			if strings.HasSuffix(args[3], ":probe") {
				most.Store(max(most.Load(), probing.Add(1)))
				time.AfterFunc(defaultTimeout, func() { probing.Add(-1) })
			}
			return replyNever
		})
		s.load(64, 10*time.Second)
		// Of the first 64 calls, maxInFlight are sent; the rest time out at the same time. The
		// third failure comes with the next 64.
		if got := s.redis.scripts.Load() - s.redis.probes.Load(); got != 2*maxInFlight {
			t.Errorf("%d calls reached redis, want %d", got, 2*maxInFlight)
		}
		if got := s.redis.probes.Load(); got != 12 || most.Load() != 1 {
			t.Errorf("%d probes, %d at a time; want 12, one at a time", got, most.Load())
		}

		before := s.redis.counts()
		s.redis.setReply(replyFresh)
		decisions, slowest := s.load(64, 5*time.Second)
		if slowest != 0 || decisions[FromRedis] < 64*80 {
			t.Errorf("redis is back: decisions %v, the slowest after %s", decisions, slowest)
		}
		got := s.redis.counts().minus(before)
		if got.probes != 1 || got.scripts != 1+decisions[FromRedis] || got.dials > maxInFlight {
			t.Errorf("redis is back: %+v for %d decisions, want one probe, one call for each decision, "+
				"and few dials", got, decisions[FromRedis])
		}
	})
}

func TestBreaker_ClosesWhenRedisIsBack(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.refuse()
		s.want(10, FromLocal, 0)
		if st := s.Stats(); st.LocalBuckets != 10 || !st.Nodes[0].Open || st.Nodes[0].Cause != "refused" {
			t.Errorf("during the outage: %+v", st)
		}
		s.redis.setReply(replyFresh)
		time.Sleep(time.Second)
		s.want(10, FromRedis, 0)
		if st := s.Stats(); st.LocalBuckets != 0 || st.Nodes[0].Open {
			t.Errorf("after the outage: %+v", st)
		}
		lines := s.log.all()
		if len(lines) != 2 || !strings.Contains(lines[1], "redis answers again") ||
			!strings.Contains(lines[0], "class=refused") || !strings.Contains(lines[0], "node=fake:6379") {
			t.Errorf("logged %q, want one line for the outage and one for its end", lines)
		}
	})
}

func TestBreaker_OpensInEachOutage(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		for range 5 {
			s.redis.setReply("-READONLY You can't write against a read only replica.\r\n")
			s.want(4, FromLocal, 0)
			s.redis.setReply(replyFresh)
			time.Sleep(time.Second)
			s.want(4, FromRedis, 0)
		}
		if got := len(s.log.all()); got != 10 {
			t.Errorf("logged %d lines, want 10", got)
		}
	})
}

func TestBreaker_IgnoresLateFailures(t *testing.T) {
	withFakeRedisOptions(t, Options{Timeout: 10 * time.Second}, func(s *fixture) {
		s.redis.setReply(replyNever)
		var wg sync.WaitGroup
		for _, after := range []time.Duration{0, 0, 10_001 * time.Millisecond, 19_900 * time.Millisecond} {
			wg.Go(func() {
				time.Sleep(after)
				s.decide()
			})
		}
		time.Sleep(20_002 * time.Millisecond) // the third opened it; the fourth is in flight
		s.redis.setReply(replyFresh)
		wg.Wait()
		s.redis.setReply("-LOADING\r\n")
		s.want(2, FromLocal, 0) // a third failure would open the breaker
		s.redis.setReply(replyFresh)
		s.want(1, FromRedis, 0)
		if lines := s.log.all(); len(lines) != 2 {
			t.Errorf("logged %q, want one outage", lines)
		}
	})
}

func TestAllow_CanceledContextIsCharged(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		canceled, cancel := context.WithCancel(s.Context())
		cancel()
		for range 10 {
			d, err := s.Allow(canceled, Request{Limit: perMinute})
			if err != nil || d.Source != FromRedis {
				t.Fatalf("got %+v, %v; want the bucket charged", d, err)
			}
		}
	})
}

func TestAllow_OnError(t *testing.T) {
	local := result{allowed: true, reset: 100 * time.Millisecond}.decision(perMinute, FromLocal)
	tests := []struct {
		mode      OnError
		want      Decision
		available bool
	}{
		{Local, local, true},
		{"", local, true},
		{Allow, Decision{Allowed: true, Source: FromNone, State: State{Name: "default"}}, true},
		{Deny, Decision{Source: FromNone, State: State{Name: "default"}}, false},
	}
	for _, tt := range tests {
		t.Run(string(tt.mode), func(t *testing.T) {
			withFakeRedis(t, func(s *fixture) {
				s.redis.refuse()
				for i := range 3 { // the refused dial, and the open breaker
					r := Request{Name: "default", Bucket: [32]byte{byte(i)}, Limit: perMinute, OnError: tt.mode}
					d, err := s.Allow(s.Context(), r)
					if !reflect.DeepEqual(d, tt.want) || (err == nil) != tt.available ||
						err != nil && !errors.Is(err, ErrUnavailable) {
						t.Fatalf("got %+v, %v; want %+v", d, err, tt.want)
					}
				}
			})
		})
	}
}

func TestClose_StopsProbes(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.setReply("-LOADING\r\n")
		s.want(3, FromLocal, 0)
		time.Sleep(2 * time.Second)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		probes := s.redis.probes.Load()
		time.Sleep(time.Minute)
		if got := s.redis.probes.Load(); got != probes || got == 0 {
			t.Errorf("%d probes before Close, %d after", probes, got)
		}
		s.want(100, FromLocal, 0)
	})
}
