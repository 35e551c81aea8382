package ratelimit

import (
	"encoding/binary"
	"testing"
	"time"
)

func TestDenial_RememberedUntilRetryAfter(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.setReply(replyDenied) // for 0.1 s
		r := Request{Name: "default", Limit: perMinute}
		s.allow(r)
		for range 99 {
			d := s.allow(r)
			if d.Source != FromMemory || d.Allowed || !d.Evaluated || d.Remaining != 0 || d.Limit != perMinute {
				t.Fatalf("got %+v, want a denial from memory", d)
			}
			time.Sleep(time.Millisecond)
		}
		if got := s.redis.scripts.Load(); got != 1 {
			t.Errorf("called redis %d times, want once", got)
		}
		time.Sleep(time.Millisecond)
		s.redis.setReply(replyFresh)
		if d := s.allow(r); d.Source != FromRedis || !d.Allowed {
			t.Errorf("after 0.1 s: got %+v", d)
		}
	})
}

func TestDenial_RememberedForAtMostASecond(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.setReply(replyDeniedFor60s)
		r := Request{Name: "default", Limit: perMinute}
		for range 3000 { // 3 s
			s.allow(r)
			time.Sleep(time.Millisecond)
		}
		if got := s.redis.scripts.Load(); got != 3 {
			t.Errorf("called redis %d times in 3 s, want 3", got)
		}
	})
}

func TestDenial_ExpiresEarlierAfterSlowReply(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.replyWith(func([]string) string {
			time.Sleep(40 * time.Millisecond) // of the 100 ms until RetryAfter
			return replyDenied
		})
		r := Request{Name: "default", Limit: perMinute}
		s.allow(r)
		time.Sleep(60*time.Millisecond - time.Nanosecond)
		if d := s.allow(r); d.Source != FromMemory {
			t.Errorf("just before RetryAfter: got %+v", d)
		}
		time.Sleep(time.Nanosecond)
		if d := s.allow(r); d.Source != FromRedis {
			t.Errorf("at RetryAfter: got %+v", d)
		}
	})
}

func TestDenial_SurvivesRotation(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.setReply(replyDeniedFor60s)
		early, late := Request{Name: "early", Limit: perMinute}, Request{Name: "late", Limit: perMinute}
		s.allow(early)
		time.Sleep(denialTTL / 2)
		s.allow(late)
		time.Sleep(denialTTL * 3 / 4)
		if d := s.allow(late); d.Source != FromMemory {
			t.Errorf("got %+v after 0.75 s", d)
		}
	})
}

func TestDenial_CountsDown(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.setReply("*4\r\n:0\r\n:0\r\n$3\r\n2.5\r\n$2\r\n60\r\n")
		r := Request{Name: "default", Limit: perMinute}
		for _, want := range []struct{ retry, reset time.Duration }{
			{3 * time.Second, 60 * time.Second},
			{3 * time.Second, 59600 * time.Millisecond},
			{2 * time.Second, 59200 * time.Millisecond},
		} {
			if d := s.allow(r); d.RetryAfter != want.retry || d.ResetAfter != want.reset {
				t.Errorf("got %+v, want %+v", d, want)
			}
			time.Sleep(400 * time.Millisecond)
		}
	})
}

func TestDenial_AffectsOnlyItsBucket(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		r := Request{Name: "default", Limit: perMinute}
		s.redis.setReply(replyDeniedFor60s)
		s.allow(r)
		s.redis.setReply(replyFresh)
		others := map[string]Request{
			"another hash":   {Name: r.Name, Limit: r.Limit, Bucket: [32]byte{31: 1}},
			"another name":   {Name: "other", Limit: r.Limit},
			"a raised limit": {Name: r.Name, Limit: limitOf(601, time.Minute, 600)},
		}
		for name, other := range others {
			if d := s.allow(other); d.Source != FromRedis {
				t.Errorf("%s: got %+v, want it from redis", name, d)
			}
		}
		if d := s.allow(r); d.Source != FromMemory {
			t.Errorf("got %+v, want a denial from memory", d)
		}
	})
}

func TestDenials_AreBoundedAndExpire(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		long := result{retry: time.Minute, reset: time.Minute}
		nth := func(i int) (b bucket) {
			binary.BigEndian.PutUint64(b.owner[:], uint64(i))
			return b
		}
		for i := range maxDenials + 10 {
			s.denials.put([]charge{{nth(i), 1}}, []result{long}, time.Now())
		}
		if got := s.Stats().RememberedDenials; got != maxDenials {
			t.Errorf("%d remembered, want %d", got, maxDenials)
		}
		time.Sleep(denialTTL)
		s.denials.put([]charge{{nth(0), 1}}, []result{long}, time.Now())
		if got := s.Stats().RememberedDenials; got != maxDenials+1 {
			t.Errorf("after 1 s: %d remembered, want two generations", got)
		}
		time.Sleep(denialTTL)
		s.denials.get([]charge{{nth(0), 1}}, make([]result, 1))
		if got := s.Stats().RememberedDenials; got != 1 {
			t.Errorf("after 2 s: %d remembered, want 1", got)
		}
		s.denials.put([]charge{{nth(0), 1}}, []result{long}, time.Now())
		time.Sleep(2 * denialTTL)
		s.denials.get([]charge{{nth(0), 1}}, make([]result, 1))
		if got := s.Stats().RememberedDenials; got != 0 {
			t.Errorf("after 4 s: %d remembered, want 0", got)
		}
	})
}

func TestLocal_BucketsAreBounded(t *testing.T) {
	l := localGCRA{newLocal()}
	b := bucket{limit: limitOf(1, time.Hour, 1)}
	l.take(b)
	if l.take(b).allowed {
		t.Fatal("the bucket was not kept")
	}
	for i := range maxLocalBuckets {
		binary.BigEndian.PutUint64(b.owner[8:], uint64(i+1))
		l.take(b)
	}
	if got := l.len(); got != maxLocalBuckets {
		t.Errorf("%d buckets, want %d", got, maxLocalBuckets)
	}
	if !l.take(bucket{limit: b.limit}).allowed {
		t.Error("the oldest bucket was not evicted")
	}
}
