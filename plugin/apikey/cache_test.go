package apikey

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestNew_StartsNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	a, err := New(&fakeStore{}, Options{Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	a.ListenerUp()
	a.Notify("")
	a.Stats()
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines started, want none", after-before)
	}
	a.Close()
	a.Close()
}

func TestClose_LeavesNoGoroutine(t *testing.T) {
	// synctest.Test fails if a goroutine is left.
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.wantOK(testToken)
		b.wantCause("unknown", CauseUnknown)
		b.Close()
	})
}

func TestCache_PutAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(100, time.Minute, stoppedClock)
		c.close()
		wantClosed(t, c)
	})
}

func put(t *testing.T, c *cache, e *entry) {
	t.Helper()
	if err := c.put(e); err != nil {
		t.Error(err)
	}
}

func wantClosed(t *testing.T, c *cache) {
	t.Helper()
	put(t, c, newEntry(&Key{}, HashOf("late"), 0, 0))
	if c.len() != 0 || c.get(HashOf("late"), 0) != nil || c.get(HashOf("0"), 0) != nil || c.engine != nil {
		t.Error("the closed cache is not empty")
	}
}

func TestCache_CloseDuringUse(t *testing.T) {
	c := newCache(100, time.Minute, stoppedClock)
	var closed atomic.Bool
	var used, users sync.WaitGroup
	use := func(f func(hash Hash)) {
		used.Add(1)
		users.Go(func() {
			for n := 0; n <= 100 || !closed.Load(); n++ {
				f(HashOf(fmt.Sprint(n % 100)))
				if n == 100 {
					used.Done()
				}
			}
		})
	}
	use(func(hash Hash) { c.get(hash, 0) })
	use(func(Hash) { c.len() })
	use(func(Hash) { c.sweep() })
	for range 2 {
		use(func(hash Hash) { put(t, c, newEntry(&Key{}, hash, 0, 0)) })
	}
	used.Wait()
	c.close()
	closed.Store(true)
	users.Wait()
	c.close()
	wantClosed(t, c)
}

func TestCache_ComparesWholeHash(t *testing.T) {
	c := newCache(100, time.Minute, stoppedClock)
	defer c.close()
	hash := HashOf(testToken)
	other := hash
	other[31]++ // its engineKey is the same
	put(t, c, newEntry(&Key{ID: "key_1"}, hash, 0, 0))
	c.engine.Wait()
	if c.get(hash, 0) == nil || c.get(other, 0) != nil {
		t.Error("get does not compare whole hashes")
	}
}

func TestCache_EntryExpiresAfterTTL(t *testing.T) {
	c := newCache(100, time.Minute, stoppedClock)
	defer c.close()
	hash := HashOf(testToken)
	put(t, c, newEntry(&Key{}, hash, 0, time.Hour))
	c.engine.Wait()
	if c.get(hash, time.Hour+time.Minute-1) == nil {
		t.Error("no entry before its TTL has passed")
	}
	if c.get(hash, time.Hour+time.Minute) != nil {
		t.Error("an entry after its TTL has passed")
	}
}

func TestCache_IdleKeyIsRemoved(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.set("idle", Key{})
		b.wantOK("idle")
		for range 6 { // minutes: TTL and Stale
			b.wantOK(testToken)
			if keys := b.Stats().Keys; keys != 2 {
				t.Fatalf("%d keys are cached, want 2", keys)
			}
			time.Sleep(time.Minute - time.Nanosecond)
		}
		time.Sleep(sweepInterval)
		b.wait()
		if keys := b.Stats().Keys; keys != 1 {
			t.Errorf("%d keys are cached, want 1", keys)
		}
		before := b.store.lookups()
		b.store.fail(errStoreDown)
		b.wantOK(testToken)
		b.wantUnavailable("idle")
		b.wantLookups(before + 2)
	})
}

func TestCache_SizeIsBounded(t *testing.T) {
	const size = 1000
	c := newCache(size, time.Minute, stoppedClock)
	defer c.close()
	u, err := newUnknownKeys()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 * size { // three times unknownSize
		var hash Hash
		binary.LittleEndian.PutUint64(hash[:], uint64(i))
		u.put(hash, 0, 0)
		put(t, c, newEntry(&Key{}, hash, 0, 0))
	}
	c.engine.Wait()
	if cached := c.len(); cached == 0 || cached > size {
		t.Errorf("%d keys are cached, want 1 to %d", cached, size)
	}
	if u.len() != unknownSize {
		t.Errorf("%d unknown keys are remembered, want %d", u.len(), unknownSize)
	}
}

func TestCache_WeighsHostnames(t *testing.T) {
	const size = 1000
	c := newCache(size, time.Minute, stoppedClock)
	defer c.close()
	hostnames := numbered("%d.example.com", 1000)
	bytes := 0
	for i := range 200 {
		hash := HashOf(fmt.Sprint(i))
		for range 10 { // a use makes ristretto prefer this key to older ones
			c.get(hash, 0)
		}
		put(t, c, newEntry(&Key{AllowedHostnames: hostnames}, hash, 0, 0))
		c.engine.Wait()
	}
	c.engine.IterValues(func(e *entry) bool { bytes += int(e.weight()) * entryBytes; return false })
	if cached := c.len(); cached < 5 || cached > 20 || bytes > size*entryBytes {
		t.Errorf("%d keys of %d bytes are cached, want 5 to 20 of at most %d", cached, bytes, size*entryBytes)
	}
}

func TestCache_HoldsKeyLargerThanItsSize(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.set(testToken, Key{AllowedHostnames: numbered("%d.example.com", 1000)})
		b.wantOK(testToken)
		b.wantOK(testToken)
		b.wantLookups(1)
		if keys := b.Stats().Keys; keys != 1 {
			t.Errorf("%d keys are cached, want 1", keys)
		}
	}, func(o *Options) { o.Size = 1 })
}

func TestCache_GuessesEvictNoKey(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		for i := range 20_000 {
			b.send(bearer(fmt.Sprint("guess", i)))
		}
		before := b.store.lookups()
		b.wantOK(testToken)
		b.wantLookups(before)
		if stats := b.Stats(); stats.Keys != 1 || stats.Unknown != unknownSize {
			t.Errorf("got %+v, want 1 key and %d unknown ones", stats, unknownSize)
		}
	}, func(o *Options) { o.Size = 1; o.Guesses = limitOf(100_000, time.Second) })
}

// stoppedClock is a clock on which entries do not age.
func stoppedClock() time.Duration { return 0 }
