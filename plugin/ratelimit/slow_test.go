package ratelimit

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// inSlowOutage runs a test with a Redis that takes latency for a dial and for each answer.
func inSlowOutage(t *testing.T, url string, latency time.Duration, test func(s *outageSuite)) {
	t.Helper()
	inOutageAt(t, url, func(s *outageSuite) {
		s.redis.latency = latency
		test(s)
	})
}

func TestSlowRedis_DecidesOnceConnected(t *testing.T) {
	for _, url := range []string{"redis://fake", "redis://:secret@fake", "redis://user:secret@fake/3?client_name=edge"} {
		t.Run(url, func(t *testing.T) {
			inSlowOutage(t, url, 30*time.Millisecond, func(s *outageSuite) {
				s.want(1, FromLocal, defaultTimeout) // not longer, though no connection is there yet
				time.Sleep(time.Second)
				s.want(10, FromRedis, 30*time.Millisecond)
				if got := s.redis.dials.Load(); got != 1 {
					t.Errorf("dialed %d times, want once", got)
				}
				if lines := s.journal.all(); len(lines) > 0 {
					t.Errorf("logged %q", lines)
				}
			})
		})
	}
}

func TestSlowRedis_RecoversAfterOutage(t *testing.T) {
	inSlowOutage(t, "redis://user:secret@fake/3", 40*time.Millisecond, func(s *outageSuite) {
		s.redis.refuse()
		s.want(1, FromLocal, 40*time.Millisecond)
		s.redis.answer(replyFresh)
		time.Sleep(time.Second)
		s.want(10, FromRedis, 40*time.Millisecond)
		if got := s.redis.probes.Load(); got != 1 {
			t.Errorf("took %d probes, want 1", got)
		}
	})
}

func TestSlowRedis_OverTimeoutOpensBreaker(t *testing.T) {
	inSlowOutage(t, "redis://:secret@fake", 60*time.Millisecond, func(s *outageSuite) {
		s.want(3, FromLocal, defaultTimeout)
		for range 60 {
			time.Sleep(time.Second)
			s.want(1, FromLocal, 0)
		}
		if lines := s.journal.all(); len(lines) != 1 || !strings.Contains(lines[0], "class=timeout") {
			t.Errorf("logged %q, want one outage", lines)
		}
	})
}

func TestSlowRedis_WrongPasswordIsReported(t *testing.T) {
	inSlowOutage(t, "redis://:secret@fake", 30*time.Millisecond, func(s *outageSuite) {
		s.redis.answer("-WRONGPASS invalid username-password pair or user is disabled.\r\n")
		s.want(3, FromLocal, defaultTimeout)
		time.Sleep(2 * time.Second)
		if n := s.Stats().Nodes[0]; !n.Open || n.Cause != "auth" {
			t.Errorf("has the node %+v, want it open because of its password", n)
		}
		if got := count(t, s.metrics.failures[failAuth]); got == 0 {
			t.Error("counted no failure of class auth")
		}
	})
}

func TestSlowRedis_HangingHandshakesAreBounded(t *testing.T) {
	inSlowOutage(t, "redis://:secret@fake", 0, func(s *outageSuite) {
		s.redis.answer(replyNever) // to AUTH
		for range 60 {
			s.want(1, FromLocal, s.slowest())
			time.Sleep(time.Second)
		}
		if got := s.redis.dials.Load(); got > 70 {
			t.Errorf("dialed %d times in a minute", got)
		}
		s.redis.answer(replyFresh)
		time.Sleep(4 * time.Second) // go-redis dials by itself after some failures, and then each second
		s.want(1, FromRedis, 0)
	})
}

// slowest is how long the next decision takes: none waits once the breaker is open.
func (s *outageSuite) slowest() time.Duration {
	if s.Stats().Nodes[0].Open {
		return 0
	}
	return defaultTimeout
}

func TestClose_StopsHangingDial(t *testing.T) {
	inSlowOutage(t, "redis://:secret@fake", 0, func(s *outageSuite) {
		s.redis.answer(replyNever)
		s.want(1, FromLocal, defaultTimeout)
		closed := time.Now()
		s.Close()
		synctest.Wait()
		if took := time.Since(closed); took != 0 || s.redis.open.Load() != 0 {
			t.Errorf("%d connections are open after a Close of %s", s.redis.open.Load(), took)
		}
	})
}

func TestSlowCluster_DecidesOnceConnected(t *testing.T) {
	inClusterAt(t, "redis://a:1", func(c *fakeCluster) {
		for _, node := range c.nodes {
			node.latency = 30 * time.Millisecond
		}
		for i := range 40 {
			ask(t, c.Limiter, Request{Name: "default", Bucket: [32]byte{byte(i)}, Limit: perMinute})
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(time.Second)
		c.wantFrom(FromRedis, 0)
		c.wantFrom(FromRedis, 1)
	})
}

func TestSlowSentinel_MasterDecides(t *testing.T) {
	inSentinels(t, func(s *outageSuite, nodes map[string]*fakeRedis, _ func(string)) {
		for _, node := range nodes {
			node.latency = 30 * time.Millisecond
		}
		s.want(1, FromLocal, defaultTimeout)
		time.Sleep(time.Second)
		s.want(10, FromRedis, 30*time.Millisecond)
	})
}
