package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// outageSuite is a limiter in a bubble, with a fake Redis that a test may break.
type outageSuite struct {
	*testing.T
	*Limiter
	redis   *fakeRedis
	journal *journal
}

// inOutage runs a test in a bubble, in which waiting costs nothing and time can be asserted.
func inOutage(t *testing.T, test func(s *outageSuite)) { inOutageWith(t, Options{}, test) }

func inOutageAt(t *testing.T, url string, test func(s *outageSuite)) {
	t.Helper()
	inOutageWith(t, Options{URL: url}, test)
}

func inOutageWith(t *testing.T, o Options, test func(s *outageSuite)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &outageSuite{T: t, redis: newFakeRedis(replyFresh), journal: newJournal()}
		o.URL, o.Logger, o.dial = cmp.Or(o.URL, "redis://fake?pool_size=200"), s.journal.logger(), s.redis.dial
		t.Cleanup(func() { time.Sleep(s.redis.latency) }) // so long it takes to see that it was hung up on
		s.Limiter = newLimiter(t, o)
		test(s)
	})
}

func (s *outageSuite) ask(r Request) Decision {
	s.Helper()
	return ask(s, s.Limiter, r)
}

// decide asks once and says how long that took.
func (s *outageSuite) decide() (Decision, time.Duration) {
	s.Helper()
	start := time.Now()
	d := s.ask(Request{Name: "default", Limit: perMinute})
	return d, time.Since(start)
}

// want asserts who decides how many times, and how long each takes.
func (s *outageSuite) want(times int, from Source, took time.Duration) {
	s.Helper()
	for i := range times {
		if d, t := s.decide(); d.Source != from || t != took || !d.Allowed {
			s.Fatalf("decision %d: got %+v after %s, want it from %s after %s", i+1, d, t, from, took)
		}
	}
}

func TestBreaker_OpensAfterThreeFailures(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		s.redis.answer(replyNever)
		s.want(3, FromLocal, defaultTimeout)
		s.want(100, FromLocal, 0)
		if got := s.redis.scripts.Load(); got != 3 {
			t.Errorf("redis was asked %d times, want 3", got)
		}
	})
}

func TestBreaker_OpensAfterRefusedDial(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		s.redis.refuse()
		s.want(100, FromLocal, 0)
		if got := s.redis.dials.Load(); got != 1 {
			t.Errorf("redis was dialled %d times, want once", got)
		}
	})
}

func TestBreaker_StaysClosedIfRedisAnswersBetween(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		for range 5 {
			s.redis.answer("-LOADING\r\n")
			s.want(2, FromLocal, 0)
			s.redis.answer(replyFresh)
			s.want(1, FromRedis, 0)
		}
		if lines := s.journal.all(); len(lines) > 0 {
			t.Errorf("logged %q", lines)
		}
	})
}

func TestProbe_BacksOff(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		s.redis.answer("-LOADING Redis is loading the dataset in memory\r\n")
		s.want(3, FromLocal, 0)
		start := time.Now()
		var at []time.Duration
		s.redis.answerBy(func([]string) string {
			at = append(at, time.Since(start))
			return "-LOADING Redis is loading the dataset in memory\r\n"
		})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		ms := time.Millisecond
		if want := []time.Duration{100 * ms, 300 * ms, 700 * ms, 1500 * ms, 2500 * ms, 3500 * ms, 4500 * ms}; !slices.Equal(at, want) {
			t.Errorf("probed at %v, want %v", at, want)
		}
	})
}

func TestProbe_WritesToTheSlotThatFailed(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		var asked [][]string
		s.redis.answerBy(func(args []string) string {
			asked = append(asked, args)
			return "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
		})
		s.want(3, FromLocal, 0)
		time.Sleep(firstProbe)
		synctest.Wait()
		bucket, probe := asked[2], asked[3]
		if probe[3] != bucket[3]+":probe" || !strings.Contains(bucket[3], "{") {
			t.Errorf("the probe of %q asks %q: not the same hash tag", bucket[3], probe[3])
		}
		if !slices.Equal(probe[4:], []string{"1000", "1000", "1", "1"}) {
			t.Errorf("the probe's limit is %q: it might be denied, and then writes nothing", probe[4:])
		}
	})
}

func TestProbe_OneAtATimeUnderLoad(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		var probing, most atomic.Int64
		s.redis.answerBy(func(args []string) string {
			if strings.HasSuffix(args[3], ":probe") {
				most.Store(max(most.Load(), probing.Add(1)))
				time.AfterFunc(defaultTimeout, func() { probing.Add(-1) })
			}
			return replyNever
		})
		s.stampede(64, 10*time.Second)
		// Of 64 at a time, a mute redis sees the first two: the others give up together with them.
		// It takes the next 64 for a third failure.
		if got := s.redis.scripts.Load() - s.redis.probes.Load(); got != 2*maxInFlight {
			t.Errorf("%d requests reached redis, want %d", got, 2*maxInFlight)
		}
		if got := s.redis.probes.Load(); got != 12 || most.Load() != 1 {
			t.Errorf("%d probes, %d at a time; want 12, one at a time", got, most.Load())
		}

		asked := s.redis.counted()
		s.redis.answer(replyFresh)
		decided, slowest := s.stampede(64, 5*time.Second)
		if slowest != 0 || decided[FromRedis] < 64*80 {
			t.Errorf("redis is back: decided by %v, the slowest after %s", decided, slowest)
		}
		got := s.redis.counted().less(asked)
		if got.probes != 1 || got.scripts != 1+decided[FromRedis] || got.trips > got.scripts/2 || got.dials > maxInFlight {
			t.Errorf("redis is back, and decides %d times: %+v; want one probe, a call each, in few round trips over few connections", decided[FromRedis], got)
		}
	})
}

func TestBreaker_ClosesWhenRedisIsBack(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		s.redis.refuse()
		s.want(10, FromLocal, 0)
		if st := s.Stats(); st.LocalBuckets != 1 || !st.Nodes[0].Open || st.Nodes[0].Cause != "refused" {
			t.Errorf("in the outage: %+v", st)
		}
		s.redis.answer(replyFresh)
		time.Sleep(time.Second)
		s.want(10, FromRedis, 0)
		if st := s.Stats(); st.LocalBuckets != 0 || st.Nodes[0].Open {
			t.Errorf("after it: %+v", st)
		}
		lines := s.journal.all()
		if len(lines) != 2 || !strings.Contains(lines[0], "class=refused") || !strings.Contains(lines[0], "node=fake:6379") ||
			!strings.Contains(lines[1], "redis answers again") {
			t.Errorf("logged %q, want one line when it went and one when it came", lines)
		}
	})
}

func TestBreaker_OpensInEachOutage(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		for range 5 {
			s.redis.answer("-READONLY You can't write against a read only replica.\r\n")
			s.want(4, FromLocal, 0)
			s.redis.answer(replyFresh)
			time.Sleep(time.Second)
			s.want(4, FromRedis, 0)
		}
		if got := len(s.journal.all()); got != 10 {
			t.Errorf("logged %d lines, want 10", got)
		}
	})
}

func TestBreaker_IgnoresLateFailures(t *testing.T) {
	inOutageWith(t, Options{Timeout: 10 * time.Second}, func(s *outageSuite) {
		s.redis.answer(replyNever)
		var herd sync.WaitGroup
		for _, after := range []time.Duration{0, 0, 10_001 * time.Millisecond, 19_900 * time.Millisecond} {
			herd.Go(func() {
				time.Sleep(after)
				s.decide()
			})
		}
		time.Sleep(20_002 * time.Millisecond) // the third has opened the breaker; the fourth gives up long after
		s.redis.answer(replyFresh)
		herd.Wait()
		s.redis.answer("-LOADING\r\n")
		s.want(2, FromLocal, 0) // nor do they count as the first of three
		s.redis.answer(replyFresh)
		s.want(1, FromRedis, 0)
		if lines := s.journal.all(); len(lines) != 2 {
			t.Errorf("logged %q, want one outage", lines)
		}
	})
}

func TestAllow_CanceledContextIsCharged(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		gone, hangUp := context.WithCancel(s.Context())
		hangUp()
		for range 10 {
			d, err := s.Allow(gone, Request{Limit: perMinute})
			if err != nil || d.Source != FromRedis {
				t.Fatalf("got %+v, %v; want the bucket charged", d, err)
			}
		}
	})
}

func TestAllow_OnError(t *testing.T) {
	tests := []struct {
		mode      OnError
		want      Decision
		available bool
	}{
		{Local, Decision{Allowed: true, Evaluated: true, Source: FromLocal, Limit: perMinute, Remaining: 599, ResetAfter: 100 * time.Millisecond}, true},
		{"", Decision{Allowed: true, Evaluated: true, Source: FromLocal, Limit: perMinute, Remaining: 599, ResetAfter: 100 * time.Millisecond}, true},
		{Allow, Decision{Allowed: true, Source: FromNone}, true},
		{Deny, Decision{Source: FromNone}, false},
	}
	for _, tt := range tests {
		t.Run(string(tt.mode), func(t *testing.T) {
			inOutage(t, func(s *outageSuite) {
				s.redis.refuse()
				for i := range 3 { // the refused dial, and the open breaker
					r := Request{Bucket: [32]byte{byte(i)}, Limit: perMinute, OnError: tt.mode}
					d, err := s.Allow(s.Context(), r)
					if d != tt.want || (err == nil) != tt.available || err != nil && !errors.Is(err, ErrUnavailable) {
						t.Fatalf("got %+v, %v; want %+v", d, err, tt.want)
					}
				}
			})
		})
	}
}

func TestClose_StopsProbes(t *testing.T) {
	inOutage(t, func(s *outageSuite) {
		s.redis.answer("-LOADING\r\n")
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
