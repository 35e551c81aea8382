package backend

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestInFlight_CountsEachOwner(t *testing.T) {
	var f InFlight
	for i, want := range []bool{true, true, false} {
		if f.Enter(ByKey, "a", 2) != want {
			t.Errorf("request %d: admitted %t", i, !want)
		}
	}
	if !f.Enter(ByKey, "b", 1) || !f.Enter(ByWorkspace, "a", 1) {
		t.Error("another owner has none in flight")
	}
	if !f.Enter(ByKey, "a", 3) {
		t.Error("a higher limit admits a third")
	}
	for range 3 {
		f.Leave(ByKey, "a")
	}
	f.Leave(ByKey, "b")
	f.Leave(ByWorkspace, "a")
	if len(f.requests) != 0 {
		t.Errorf("%v are left", f.requests)
	}
}

func TestInFlight_NeverMoreThanTheLimit(t *testing.T) {
	var f InFlight
	var now, most atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 200 {
				if f.Enter(ByKey, "a", 5) {
					n := now.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					now.Add(-1)
					f.Leave(ByKey, "a")
				}
			}
		})
	}
	wg.Wait()
	if most.Load() > 5 || len(f.requests) != 0 {
		t.Errorf("%d at the same time, %v left", most.Load(), f.requests)
	}
}
