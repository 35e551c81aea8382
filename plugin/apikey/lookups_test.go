package apikey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hoko.to/edge/plugin/tracing"
)

func TestLookup_SharedByConcurrentRequests(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		unblock := b.blockLookups()
		var requests sync.WaitGroup
		for range 100 {
			requests.Go(func() {
				if _, err := b.authenticate(testToken); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		unblock()
		requests.Wait()
		b.wantLookups(1)
	})
}

func TestNotify_KeyRevokedDuringLookup(t *testing.T) {
	eachPayload(t, testToken, func(t *testing.T, b *fixture, payload string) {
		b.store.onLookup(func(_ context.Context, call int) {
			if call == 1 { // its answer says that the key is valid
				b.store.set(testToken, Key{Revoked: true})
				b.Notify(payload)
			}
		})
		b.wantCause(testToken, CauseRevoked)
		b.wantLookups(2)
		b.wantCause(testToken, CauseRevoked)
		b.wantLookups(2)
	})
}

func TestNotify_RevocationHoldsUnderLoad(t *testing.T) {
	b := setup(t)
	var done atomic.Bool
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for !done.Load() {
				b.authenticate(testToken)
			}
		})
	}
	for _, payload := range []string{keyPayload(testToken), "workspace:ws_1"} {
		for range 1000 {
			for _, revoked := range []bool{true, false} {
				b.store.set(testToken, Key{WorkspaceID: "ws_1", Revoked: revoked})
				b.Notify(payload)
				_, err := b.authenticate(testToken)
				if (err != nil) != revoked {
					t.Errorf("%s, revoked %t: got %v", payload, revoked, err)
				}
			}
		}
	}
	done.Store(true)
	load.Wait()
}

func TestLookup_JoinedAfterRevocationIsRepeated(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		// A lookup has found the key valid. The key is then revoked, and another request joins the
		// lookup before it ends.
		hash, gate := HashOf(testToken), make(chan struct{})
		answered := newLookup(hash, tracing.Span{})
		answered.entry = newEntry(&Key{}, hash, b.epochs.now(), b.now())
		b.inFlight.byHash[hash] = answered
		go func() {
			<-gate
			b.inFlight.finish(answered)
		}()
		b.store.set(testToken, Key{Revoked: true})
		b.Notify("key:" + hash.String())
		joined := b.request(t.Context(), testToken, testClient)
		close(gate)
		wantCause(t, <-joined, CauseRevoked)
		b.wantLookups(1)
	})
}

func TestNotify_KeyCreatedDuringLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.onLookup(func(_ context.Context, call int) {
			if call == 1 {
				b.store.set("new", Key{})
				b.Notify(keyPayload("new"))
			}
		})
		b.wantOK("new")
		b.wantLookups(2)
		wantGuesses(t, b, 0)
	})
}

func TestNotify_ConstantEventsMakeKeyUnavailable(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.onLookup(func(context.Context, int) { b.Notify("") })
		start := time.Now()
		if err := b.call(testToken); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errOvertaken) {
			t.Fatalf("got %v, want errOvertaken", err)
		}
		if took := time.Since(start); took > 2*lookupTimeout {
			t.Errorf("took %s, want at most %s", took, 2*lookupTimeout)
		}
		b.wantLookups(10)
		b.store.onLookup(nil)
		b.wantOK(testToken)
		wantGuesses(t, b, 0)
	})
}

func TestLookup_ContinuesAfterCancel(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		unblock := b.blockLookups()
		ctx, cancel := context.WithCancel(context.Background())
		canceled := b.request(ctx, testToken, testClient)
		cancel()
		if err := <-canceled; !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want context.Canceled", err)
		}
		unblock()
		synctest.Wait()
		b.wait()
		b.wantOK(testToken)
		b.wantLookups(1)
	})
}

func TestUnresponsiveStore_UncachedKeyIsUnavailable(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.onLookup(unresponsive)
		start := time.Now()
		b.wantUnavailable(testToken)
		if took := time.Since(start); took != lookupTimeout {
			t.Errorf("took %s, want %s", took, lookupTimeout)
		}
	})
}

// countLookups makes lookups hang until unblock is called. running counts those that hang, and most
// is its maximum.
func (b *fixture) countLookups() (running, most *atomic.Int32, unblock func()) {
	running, most = new(atomic.Int32), new(atomic.Int32)
	gate := make(chan struct{})
	b.store.onLookup(func(ctx context.Context, _ int) {
		now := running.Add(1)
		for peak := most.Load(); now > peak && !most.CompareAndSwap(peak, now); peak = most.Load() {
		}
		select {
		case <-gate:
		case <-ctx.Done():
		}
		running.Add(-1)
	})
	return running, most, func() { close(gate) }
}

func TestUncachedKeys_SixLookupsAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		running, most, unblock := b.countLookups()
		var unknown, unavailable atomic.Int32
		var requests sync.WaitGroup
		for i := range 50 {
			requests.Go(func() {
				client := fmt.Sprint("192.0.2.", i)
				_, _, err := b.Authenticate(context.Background(), bearer(fmt.Sprint("guess", i)), client, Required{})
				if errors.Is(err, ErrUnavailable) {
					unavailable.Add(1)
				} else if rejected, ok := errors.AsType[*Rejected](err); ok && rejected.Cause == CauseUnknown {
					unknown.Add(1)
				}
			})
		}
		synctest.Wait()
		if running.Load() != maxUncached {
			t.Errorf("%d lookups are running, want %d", running.Load(), maxUncached)
		}
		time.Sleep(slotWait)
		synctest.Wait()
		if unavailable.Load() != 50-maxUncached {
			t.Errorf("%d requests are unavailable, want %d", unavailable.Load(), 50-maxUncached)
		}
		unblock()
		requests.Wait()
		if unknown.Load() != maxUncached || most.Load() != maxUncached {
			t.Errorf("%d keys unknown and %d lookups at most, want %d", unknown.Load(), most.Load(), maxUncached)
		}
		b.wantLookups(maxUncached)
		b.wantOutage(false)
	})
}

func TestGuesses_SpentBudgetDeniesWithoutWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantCause("guess", CauseUnknown)
		unblock := b.blockLookups()
		for i := range maxUncached { // take all slots
			b.request(context.Background(), fmt.Sprint("uncached", i), fmt.Sprint("198.51.100.", i))
		}
		start := time.Now()
		wantSpent(t, b.call("another"))
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %s, want no wait", waited)
		}
		unblock()
	}, withGuesses(1))
}

func TestUncachedKeys_DoNotDelayCachedKey(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.store.set(testToken, Key{Revoked: true})
		running, most, unblock := b.countLookups()
		var requests sync.WaitGroup
		for i := range 20 {
			requests.Go(func() { b.send(bearer(fmt.Sprint("guess", i))) })
		}
		synctest.Wait()
		b.Notify(keyPayload(testToken))
		cached := b.request(t.Context(), testToken, testClient)
		if running.Load() != maxUncached+1 {
			t.Errorf("%d lookups are running, want %d", running.Load(), maxUncached+1)
		}
		unblock()
		wantCause(t, <-cached, CauseRevoked)
		requests.Wait()
		if most.Load() > maxUncached+maxBatches {
			t.Errorf("%d concurrent lookups, want at most %d", most.Load(), maxUncached+maxBatches)
		}
	})
}

func TestClose_CancelsLookups(t *testing.T) {
	var log bytes.Buffer
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		var running atomic.Int32
		b.store.onLookup(func(ctx context.Context, _ int) {
			running.Add(1)
			<-ctx.Done()
			time.Sleep(time.Millisecond) // between cancellation and return
			running.Add(-1)
		})
		var results [20]<-chan error
		for i := range results {
			results[i] = b.request(context.Background(), fmt.Sprint("uncached", i), testClient)
		}
		start := time.Now()
		b.Close()
		if took := time.Since(start); took != time.Millisecond {
			t.Errorf("Close took %s, want %s", took, time.Millisecond)
		}
		if running.Load() != 0 {
			t.Errorf("%d lookups are running after Close", running.Load())
		}
		for _, result := range results {
			if err := <-result; !errors.Is(err, ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
		}
		before := b.store.lookups()
		b.wantUnavailable(testToken)
		b.wantLookups(before)
		b.Close()
		if log.Len() > 0 {
			t.Errorf("Close is logged: %s", log.String())
		}
	}, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
}

func TestClose_DuringRequests(t *testing.T) {
	b := setup(t, func(o *Options) { o.Guesses = limitOf(100_000, time.Second) })
	var started, requests sync.WaitGroup
	for i := range 8 {
		started.Add(1)
		requests.Go(func() {
			for n := range 500 {
				token := fmt.Sprint("key", i, n%50)
				b.store.set(token, Key{})
				b.authenticate(token)
				b.Notify(keyPayload(token))
				if n == 50 {
					started.Done()
				}
			}
		})
	}
	started.Wait()
	b.Close()
	requests.Wait()
	b.wantUnavailable(testToken)
}
