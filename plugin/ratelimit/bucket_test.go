package ratelimit

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/limit"
)

// peek calls Peek, which must not return an error.
func peek(t testing.TB, l *Limiter, r Request) Decision {
	t.Helper()
	d, err := l.Peek(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// reset calls Reset, which must not return an error.
func reset(t testing.TB, l *Limiter, r Request) {
	t.Helper()
	if err := l.Reset(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// anyLimit returns a valid limit, which may have a tiny period or a huge burst.
func anyLimit(random *rand.Rand) limit.Limit {
	for {
		l := limitOf(1+random.IntN(1000), time.Duration(1+random.Int64N(int64(10*time.Second))), 1+random.IntN(50))
		switch random.IntN(4) {
		case 0:
			l.Period = limit.MinPeriod
		case 1:
			l.Burst = 1 + random.IntN(limit.MaxRate)
		case 2:
			l.Period = time.Duration(random.Int64N(int64(limit.MaxPeriod)))
		}
		if l.Validate() == nil {
			return l
		}
	}
}

// agree fails unless Allow decides what Peek has said, on a clock that stands still in between.
func agree(t *testing.T, l *Limiter, r Request) Decision {
	t.Helper()
	before, again := peek(t, l, r), peek(t, l, r)
	got := allow(t, l, r)
	same := reflect.DeepEqual(before, again) && before.Allowed == got.Allowed && before.Source == got.Source
	switch {
	case got.Allowed:
		took := got.ResetAfter - before.ResetAfter
		same = same && before.Remaining-got.Remaining == 1 && (took-r.Limit.Cost(1)).Abs() < 2*time.Microsecond
	default:
		same = same && (got.ResetAfter-before.ResetAfter).Abs() < time.Microsecond // to which Peek rounds
		before.ResetAfter = got.ResetAfter
		same = same && reflect.DeepEqual(before, got)
	}
	if !same {
		t.Fatalf("%s: Peek %+v, again %+v, then Allow %+v", r.Limit, before, again, got)
	}
	return got
}

func TestPeek_AgreesWithAllow(t *testing.T) {
	for name, without := range map[string]bool{"redis": false, "local": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newMiniLimiter(t)
				if without {
					l.Close() // so that nothing probes Redis during years of the bubble's clock
				}
				random := rand.New(rand.NewPCG(1, 2))
				denied := 0
				for i := range 80 {
					r := Request{Name: "default", Bucket: [32]byte{byte(i), byte(i >> 8)}, Limit: anyLimit(random)}
					for range 60 {
						if d := agree(t, l, r); !d.Allowed {
							denied++
						}
						if random.IntN(3) == 0 {
							time.Sleep(time.Duration(random.Float64() * r.Limit.Interval() * 2))
						}
					}
				}
				if denied < 200 || denied > 4600 {
					t.Errorf("%d of 4800 denied: the test is no longer about both", denied)
				}
			})
		})
	}
}

func TestPeek_WhileTheClockIsSetBack(t *testing.T) {
	for _, back := range []time.Duration{time.Microsecond, 5050 * time.Millisecond, time.Minute, time.Hour} {
		withClockTest(t, func(c *clockTest) {
			agree(c.T, c.Limiter, c.request)
			c.setBack(back)
			agree(c.T, c.Limiter, c.request)
			reset(c, c.Limiter, c.request)
			if d := peek(c, c.Limiter, c.request); d.Remaining != 600 || d.ResetAfter != 0 || d.Source != FromRedis {
				t.Errorf("%s back: got %+v after a reset", back, d)
			}
		})
	}
}

func TestPeek_ChargesNothing(t *testing.T) {
	url := testenv.Redis(t)
	l, client := newLimiter(t, Options{URL: url, Timeout: longTimeout}), adminClient(t, url)
	r := Request{Name: "default", Limit: limitOf(5, time.Hour, 5)}
	if d := peek(t, l, r); !d.Allowed || !d.Evaluated || d.Remaining != 5 || d.ResetAfter != 0 || d.Limit != r.Limit {
		t.Errorf("full: got %+v", d)
	}
	if n := client.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("Peek has written %d keys", n)
	}
	for left := range 5 {
		allow(t, l, r)
		for range 3 {
			if d := peek(t, l, r); d.Remaining != 4-left || d.Allowed != (left < 4) || d.Source != FromRedis {
				t.Errorf("after %d requests: got %+v", left+1, d)
			}
		}
	}
	if stats := l.Stats(); stats.RememberedDenials != 0 || stats.LocalBuckets != 0 {
		t.Errorf("Peek keeps memory: %+v", stats)
	}
}

func TestReset_AdmitsExactlyTheBurst(t *testing.T) {
	url := testenv.Redis(t)
	l, client := newLimiter(t, Options{URL: url, Timeout: longTimeout}), adminClient(t, url)
	r := Request{Name: "default", Limit: limitOf(1, time.Hour, 7)}
	other := Request{Name: "other", Limit: limitOf(1, time.Hour, 1)}
	c := &clockTest{t, l, r}
	allow(t, l, other)
	for round := range 5 {
		if admitted, _ := c.drain(); admitted != 7 {
			t.Fatalf("round %d: %d admitted, want the burst of 7", round, admitted)
		}
		if d := allow(t, l, r); d.Source != FromMemory {
			t.Fatalf("got %+v, want a remembered denial", d)
		}
		reset(t, l, r)
		if d := peek(t, l, r); d.Remaining != 7 || d.Source != FromRedis {
			t.Errorf("got %+v after a reset", d)
		}
	}
	if d := allow(t, l, other); d.Allowed {
		t.Error("another bucket is full as well")
	}
	key := keyOf(r)
	for _, wrong := range []func() error{
		func() error { return client.Set(t.Context(), key, "not a number", 0).Err() },
		func() error { return client.HSet(t.Context(), key, "a", "b").Err() },
	} {
		client.Del(t.Context(), key)
		testenv.NoError(t, wrong())
		if d := peek(t, l, r); d.Source != FromLocal {
			t.Errorf("another program's value: got %+v", d)
		}
		reset(t, l, r)
		if admitted, denial := c.drain(); admitted != 7 || denial.Source != FromRedis {
			t.Errorf("another program's value, after a reset: %d admitted, then %+v", admitted, denial)
		}
		reset(t, l, r)
	}
}
