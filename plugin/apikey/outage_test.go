package apikey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestOutage_ListenerUpServesStale(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.ListenerDown()
		b.store.fail(errStoreDown)
		b.ListenerUp()
		b.wantOK(testToken)
		b.store.fail(nil)
	})
}

func TestOutage_CachedKeyServedWithinStale(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.store.fail(errStoreDown)
		for range 4 { // past TTL and outageTTL
			time.Sleep(time.Minute)
			b.wantOK(testToken)
		}
		b.wantUnavailable("uncached")
		time.Sleep(time.Minute - time.Nanosecond)
		b.wantOK(testToken)
		time.Sleep(time.Nanosecond)
		b.wantUnavailable(testToken)
		b.store.fail(nil)
		b.wantOK(testToken)
	})
}

func TestOutage_FailsClosedWithoutStale(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.store.fail(errStoreDown)
		time.Sleep(time.Minute - time.Nanosecond)
		b.wantOK(testToken)
		time.Sleep(time.Nanosecond)
		b.wantUnavailable(testToken)
	}, func(o *Options) { o.Stale = -1 })
}

func TestStaleKey_StillExpires(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.set(testToken, Key{ExpiresAt: time.Now().Add(90 * time.Second)})
		b.wantOK(testToken)
		b.store.fail(errStoreDown)
		time.Sleep(90*time.Second - time.Nanosecond)
		b.wantOK(testToken)
		time.Sleep(time.Nanosecond)
		b.wantCause(testToken, CauseExpired)
	})
}

func TestStaleKey_RevokedIsStillRejected(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.set(testToken, Key{Revoked: true})
		b.wantCause(testToken, CauseRevoked)
		b.store.fail(errStoreDown)
		time.Sleep(2 * time.Minute)
		b.wantCause(testToken, CauseRevoked)
	})
}

func TestStaleKey_NotServedAfterNotification(t *testing.T) {
	eachPayload(t, testToken, func(t *testing.T, b *fixture, payload string) {
		b.wantOK(testToken)
		b.store.fail(errStoreDown)
		b.Notify(payload)
		b.wantUnavailable(testToken)
		b.wantUnavailable(testToken)
	})
}

func TestStaleKey_RevokedDuringLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		time.Sleep(time.Minute)
		b.store.onLookup(func(ctx context.Context, call int) {
			b.Notify(keyPayload(testToken))
			<-ctx.Done()
		})
		b.wantUnavailable(testToken)
	})
}

func TestStaleKey_TooOldDuringLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		time.Sleep(5*time.Minute - answerWait)
		b.store.onLookup(unresponsive)
		b.wantUnavailable(testToken)
	})
}

func TestUnresponsiveStore_DelaysOneRequest(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.set("second", Key{})
		b.wantOK(testToken)
		b.wantOK("second")
		time.Sleep(time.Minute)
		b.store.onLookup(unresponsive)
		start := time.Now()
		b.wantOK(testToken)
		if waited := time.Since(start); waited != answerWait {
			t.Fatalf("the first request waited %s, want %s", waited, answerWait)
		}
		b.wantLookups(3)

		// Later requests do not wait, and one probe at a time asks the store.
		for range 40 {
			start = time.Now()
			b.wantOK(testToken)
			b.wantOK("second")
			if waited := time.Since(start); waited != 0 {
				t.Fatalf("waited %s, want no wait", waited)
			}
			time.Sleep(110 * time.Millisecond)
		}
		b.wantLookups(3 + 1)

		// The first answer ends the outage: requests wait for the store again.
		b.store.onLookup(nil)
		b.store.set(testToken, Key{Revoked: true})
		b.store.set("second", Key{Revoked: true})
		time.Sleep(probeInterval)
		b.call(testToken) // starts the probe
		synctest.Wait()
		b.wantCause(testToken, CauseRevoked)
		b.wantCause("second", CauseRevoked)
	})
}

func TestSlowStore_LateAnswerIsUsed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.store.set(testToken, Key{Revoked: true}) // without a notification
		b.store.onLookup(func(context.Context, int) { time.Sleep(answerWait + time.Second) })
		time.Sleep(time.Minute)
		b.wantOK(testToken) // after answerWait
		time.Sleep(time.Second)
		synctest.Wait()
		b.wantCause(testToken, CauseRevoked)
		b.wantLookups(2)
	})
}

func TestOutage_ForgottenWithoutRequests(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.store.fail(errStoreDown)
		b.wantUnavailable("uncached")
		b.store.fail(nil)
		b.store.set(testToken, Key{Revoked: true})
		time.Sleep(time.Minute)
		b.wantCause(testToken, CauseRevoked)
	})
}

// Each key is used once a second.
func TestListenerDown_RevocationAmongManyKeys(t *testing.T) {
	for _, c := range []struct {
		keys int
		took time.Duration // by each query
		up   bool          // whether ListenerUp follows the revocation, whose notification was missed
	}{
		{200, 30 * time.Millisecond, false},
		{3000, 30 * time.Millisecond, false},
		{3000, 30 * time.Millisecond, true},
		{3000, 500 * time.Millisecond, false},
		{3000, 500 * time.Millisecond, true},
	} {
		t.Run(fmt.Sprintf("%d keys, %s, up %t", c.keys, c.took, c.up), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) {
				tokens := b.cacheKeys(c.keys)
				b.store.onLookup(func(context.Context, int) { time.Sleep(c.took) })
				b.ListenerDown()
				var done atomic.Bool
				var rejected, unavailable atomic.Int32
				var last atomic.Int64 // when the revoked key was last admitted
				var all sync.WaitGroup
				for i, token := range tokens {
					all.Go(func() {
						time.Sleep(time.Duration(i) * time.Second / time.Duration(c.keys))
						for ; !done.Load(); time.Sleep(time.Second) {
							_, err := b.authenticate(token)
							switch {
							case errors.Is(err, ErrUnavailable):
								unavailable.Add(1)
							case err != nil:
								rejected.Add(1)
							case i == 7:
								last.Store(int64(b.now()))
							}
						}
					})
				}
				time.Sleep(8 * time.Second)
				synctest.Wait()
				b.store.set(tokens[7], Key{Revoked: true})
				revoked, bound := b.now(), listenerDownTTL
				if c.up {
					b.ListenerUp()
					bound = c.took // a lookup may have been sent before
				}
				time.Sleep(12 * time.Second)
				done.Store(true)
				all.Wait()
				if after := time.Duration(last.Load()) - revoked; after > bound {
					t.Errorf("the key was admitted %s after its revocation, want at most %s", after, bound)
				}
				if rejected.Load() == 0 || unavailable.Load() > 0 {
					t.Errorf("%d requests rejected and %d unavailable", rejected.Load(), unavailable.Load())
				}
			}, largeCache)
		})
	}
}
