package ratelimit

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// withSlowRedis runs a test with a Redis that takes latency for each dial and reply.
func withSlowRedis(t *testing.T, url string, latency time.Duration, test func(s *fixture)) {
	t.Helper()
	withFakeRedisOptions(t, Options{URL: url}, func(s *fixture) {
		s.redis.latency = latency
		test(s)
	})
}

func TestSlowRedis_DecidesOnceConnected(t *testing.T) {
	for _, url := range []string{"redis://fake", "redis://:pass@fake", "redis://user:pass@fake/3?client_name=edge"} {
		t.Run(url, func(t *testing.T) {
			withSlowRedis(t, url, 30*time.Millisecond, func(s *fixture) {
				s.want(1, FromLocal, defaultTimeout) // connecting takes longer
				time.Sleep(time.Second)
				s.want(10, FromRedis, 30*time.Millisecond)
				if got := s.redis.dials.Load(); got != 1 {
					t.Errorf("dialed %d times, want once", got)
				}
				if lines := s.log.all(); len(lines) > 0 {
					t.Errorf("logged %q", lines)
				}
			})
		})
	}
}

func TestSlowRedis_RecoversAfterOutage(t *testing.T) {
	withSlowRedis(t, "redis://user:secret@fake/3", 40*time.Millisecond, func(s *fixture) {
		s.redis.refuse()
		s.want(1, FromLocal, 40*time.Millisecond)
		s.redis.setReply(replyFresh)
		time.Sleep(time.Second)
		s.want(10, FromRedis, 40*time.Millisecond)
		if got := s.redis.probes.Load(); got != 1 {
			t.Errorf("took %d probes, want 1", got)
		}
	})
}

func TestSlowRedis_OverTimeoutOpensBreaker(t *testing.T) {
	withSlowRedis(t, "redis://:secret@fake", 60*time.Millisecond, func(s *fixture) {
		s.want(3, FromLocal, defaultTimeout)
		for range 60 {
			time.Sleep(time.Second)
			s.want(1, FromLocal, 0)
		}
		if lines := s.log.all(); len(lines) != 1 || !strings.Contains(lines[0], "class=timeout") {
			t.Errorf("logged %q, want one outage", lines)
		}
	})
}

func TestSlowRedis_WrongPasswordIsReported(t *testing.T) {
	withSlowRedis(t, "redis://:secret@fake", 30*time.Millisecond, func(s *fixture) {
		s.redis.setReply("-WRONGPASS invalid username-password pair or user is disabled.\r\n")
		s.want(3, FromLocal, defaultTimeout)
		time.Sleep(2 * time.Second)
		if n := s.Stats().Nodes[0]; !n.Open || n.Cause != "auth" {
			t.Errorf("got %+v, want an open breaker because of the password", n)
		}
		if got := metricValue(t, s.metrics.failures[failAuth]); got == 0 {
			t.Error("no failure of class auth was counted")
		}
	})
}

func TestSlowRedis_HangingHandshakesAreBounded(t *testing.T) {
	withSlowRedis(t, "redis://:secret@fake", 0, func(s *fixture) {
		s.redis.setReply(replyNever) // to AUTH
		for range 60 {
			s.want(1, FromLocal, s.expectedWait())
			time.Sleep(time.Second)
		}
		if got := s.redis.dials.Load(); got > 70 {
			t.Errorf("dialed %d times in a minute", got)
		}
		s.redis.setReply(replyFresh)
		time.Sleep(4 * time.Second) // after some failures, go-redis dials once a second
		s.want(1, FromRedis, 0)
	})
}

// expectedWait returns how long the next decision takes.
func (s *fixture) expectedWait() time.Duration {
	if s.Stats().Nodes[0].Open {
		return 0
	}
	return defaultTimeout
}

func TestClose_StopsHangingDial(t *testing.T) {
	withSlowRedis(t, "redis://:secret@fake", 0, func(s *fixture) {
		s.redis.setReply(replyNever)
		s.want(1, FromLocal, defaultTimeout)
		closed := time.Now()
		s.Close()
		synctest.Wait()
		if took := time.Since(closed); took != 0 || s.redis.open.Load() != 0 {
			t.Errorf("%d connections are open after Close, which took %s", s.redis.open.Load(), took)
		}
	})
}

func TestSlowCluster_DecidesOnceConnected(t *testing.T) {
	withFakeClusterAt(t, "redis://a:1", func(c *fakeCluster) {
		for _, node := range c.nodes {
			node.latency = 30 * time.Millisecond
		}
		for i := range 40 {
			allow(t, c.Limiter, Request{Name: "default", Bucket: [32]byte{byte(i)}, Limit: perMinute})
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(time.Second)
		c.wantAllFrom(FromRedis)
	})
}

func TestSlowSentinel_MasterDecides(t *testing.T) {
	withFakeSentinel(t, func(s *fixture, nodes map[string]*fakeRedis, _ func(string)) {
		for _, node := range nodes {
			node.latency = 30 * time.Millisecond
		}
		s.want(1, FromLocal, defaultTimeout)
		time.Sleep(time.Second)
		s.want(10, FromRedis, 30*time.Millisecond)
	})
}
