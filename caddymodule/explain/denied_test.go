package explain

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

func TestDenied_MostFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(denials)
		for key := range 25 {
			for range key + 1 {
				d.count(fmt.Sprint("key_", key), "ws_1", time.Now())
			}
		}
		got := d.most(time.Now())
		if len(got.Keys) != 20 || got.Keys[0] != (DeniedKey{"key_24", "ws_1", 25}) ||
			got.Keys[19] != (DeniedKey{"key_5", "ws_1", 6}) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestDenied_ForgetsAfterTwoGenerations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Now().Truncate(deniedPeriod).Add(deniedPeriod)))
		d := new(denials)
		d.count("key_1", "ws_1", time.Now())
		want := func(what string, denied ...int) {
			t.Helper()
			got := d.most(time.Now())
			if age := time.Since(got.Since); age < deniedPeriod || age > 2*deniedPeriod {
				t.Errorf("%s: since %s ago", what, age)
			}
			if len(got.Keys) != len(denied) || len(denied) > 0 && got.Keys[0].Denied != denied[0] {
				t.Errorf("%s: %+v", what, got.Keys)
			}
		}
		want("now", 1)
		time.Sleep(deniedPeriod)
		d.count("key_1", "ws_1", time.Now())
		want("in the next generation", 2)
		time.Sleep(deniedPeriod)
		want("later", 1)
		time.Sleep(deniedPeriod)
		want("after all")
		d.count("key_1", "ws_1", time.Now())
		time.Sleep(time.Hour)
		want("after a pause")
	})
}

// Many keys with few denials must hide none with many.
func TestDenied_FindsTheMostAmongMany(t *testing.T) {
	d, now := new(denials), time.Now()
	random, counted := rand.New(rand.NewPCG(1, 2)), map[string]int{}
	for i := range 200_000 {
		key := fmt.Sprint("rare_", random.IntN(100_000))
		if i%100 < 10 {
			key = fmt.Sprint("often_", i%10)
		}
		d.count(key, "ws_1", now)
		counted[key]++
	}
	got := d.most(now)
	for _, key := range got.Keys {
		if key.Denied > counted[key.KeyID] {
			t.Errorf("%s was denied %d times, not %d", key.KeyID, counted[key.KeyID], key.Denied)
		}
	}
	for i := range 10 {
		found := false
		for _, key := range got.Keys {
			if key.KeyID == fmt.Sprint("often_", i) {
				found = key.Denied > 1000
			}
		}
		if !found {
			t.Errorf("often_%d is not among %+v", i, got.Keys)
		}
	}
	kept := 0
	for i := range d.shards {
		kept += len(d.shards[i].current)
	}
	if kept > deniedShards*deniedKeys {
		t.Errorf("counts %d keys", kept)
	}
}

func BenchmarkDeny(b *testing.B) {
	d, now := new(denials), time.Now()
	for i := range 2000 {
		d.count(fmt.Sprint("key_", i), "ws_1", now)
	}
	b.ReportAllocs()
	for b.Loop() {
		d.count("key_1", "ws_1", now)
	}
}

// Requests are counted when they began, so that at a boundary some come after later ones.
func TestDenied_LateRequestForgetsNothing(t *testing.T) {
	boundary := time.Unix(1_000_000*int64(deniedPeriod.Seconds()), 0)
	before, after := boundary.Add(-time.Millisecond), boundary.Add(time.Millisecond)
	d := new(denials)
	for _, at := range []time.Time{before, before, after, before, after} {
		d.count("key_1", "ws_1", at)
	}
	if got := d.most(after); len(got.Keys) != 1 || got.Keys[0].Denied != 5 {
		t.Errorf("got %+v", got)
	}
}
