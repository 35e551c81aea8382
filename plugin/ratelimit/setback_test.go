package ratelimit

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// setBack is a bucket in use whose Redis has its clock set back: its key is put as far
// into the future, which is the same to GCRA.
type setBack struct {
	*testing.T
	*Limiter
	request Request
}

func (s *setBack) ask() Decision {
	s.Helper()
	d, err := s.Allow(s.Context(), s.request)
	if err != nil {
		s.Fatal(err)
	}
	return d
}

// drain empties the bucket, and says how many it admitted and how it denied.
func (s *setBack) drain() (admitted int, last Decision) {
	s.Helper()
	for last = s.ask(); last.Allowed; last = s.ask() {
		admitted++
	}
	return admitted, last
}

func (s *setBack) by(d time.Duration) {
	s.Helper()
	b := bucket{s.request.Name, s.request.Bucket, s.request.Limit}
	key := b.key("rate:" + s.prefix)
	full, err := s.client.Get(s.Context(), key).Float64()
	if err != nil {
		s.Fatal(err)
	}
	left := s.client.PTTL(s.Context(), key).Val()
	if err := s.client.Set(s.Context(), key, strconv.FormatFloat(full+d.Seconds(), 'f', -1, 64), left+d).Err(); err != nil {
		s.Fatal(err)
	}
}

func whenSetBack(t *testing.T, test func(s *setBack)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(&setBack{t, newMiniLimiter(t), Request{Name: "default", Limit: perMinute}})
	})
}

func TestAClockThatIsSetBackTakesNoMoreThanItsTimeFromABucket(t *testing.T) {
	whenSetBack(t, func(s *setBack) {
		if d := s.ask(); d.Remaining != 599 {
			t.Fatalf("got %+v", d)
		}
		s.by(5050 * time.Millisecond) // of the minute that the bucket holds
		if admitted, last := s.drain(); admitted != 548 || last.Source != FromRedis {
			t.Errorf("%d admitted, then %+v, want 548 and then denied by redis", admitted, last)
		}
	})
}

func TestAClockThatIsSetBackALittleDelaysAnEmptyBucket(t *testing.T) {
	whenSetBack(t, func(s *setBack) {
		s.drain()
		s.by(maxSetBack)
		time.Sleep(150 * time.Millisecond) // the denial is remembered for 100 ms
		d := s.ask()
		if d.Allowed || d.Source != FromRedis || d.RetryAfter != time.Second {
			t.Fatalf("got %+v, want it denied by redis for a moment", d)
		}
		time.Sleep(d.RetryAfter)
		if d := s.ask(); !d.Allowed || d.Source != FromRedis {
			t.Errorf("got %+v after the wait", d)
		}
	})
}

func TestAClockThatIsSetBackAnHourDeniesNobodyForAnHour(t *testing.T) {
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
		if d := s.ask(); !d.Allowed || d.Source != FromRedis {
			t.Errorf("got %+v when the clock is where it was", d)
		}
		if got := count(s, s.metrics.failures[failAnswer]); got != 902 {
			t.Errorf("counted %d answers that are not the script's", got)
		}
	})
}
