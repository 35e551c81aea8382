package apikey

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// The store answers each question in time, but the queue is longer than that it
// could be served: that is no outage, and must not prolong what is promised.
func TestBusyEdgeAdmitsNoKeyOnAnOlderCheckThanItPromises(t *testing.T) {
	for _, c := range []struct {
		name string
		age  time.Duration // of the check, when the listener is back
		busy bool
	}{
		{"checked too long ago", deafTrust - queueWait, true},
		{"checked a moment ago", deafTrust - queueWait - time.Nanosecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bundle) {
				tokens := b.crowd(batchesAtOnce*4*batchSize + 100)
				b.store.onLookup(func(context.Context, int) { time.Sleep(patience - time.Millisecond) })
				time.Sleep(c.age)
				b.Listening()
				ended := b.requests(tokens...)
				start, busy := time.Now(), 0
				for i, err := range ended() {
					if errors.Is(err, errBusy) && errors.Is(err, ErrUnavailable) {
						busy++
					} else if err != nil {
						t.Errorf("%s: %v", tokens[i], err)
					}
				}
				if took := time.Since(start); took > queueWait+patience {
					t.Errorf("one waited %s", took)
				}
				if (busy > 0) != c.busy {
					t.Errorf("%d of %d are told that the edge is busy", busy, len(tokens))
				}
				if b.Stats().Outage {
					t.Error("it takes itself for an outage of the store")
				}
			}, roomy)
		})
	}
}

func TestQueueHoldsNoMoreThanTheCache(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		open := b.gated()
		for i := range batchesAtOnce {
			b.join(Hash{byte(i)}, "", true)
			synctest.Wait()
		}
		for i := range 10 {
			if f, _ := b.join(Hash{100, byte(i)}, "", true); f.err != nil {
				t.Fatal(f.err)
			}
		}
		f, _ := b.join(Hash{200}, "", true)
		if <-f.landed; !errors.Is(f.err, errBusy) {
			t.Errorf("got %v", f.err)
		}
		open()
	}, func(o *Options) { o.Size = 10 })
}

func TestClientThatHangsUpIsNotServedStale(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		time.Sleep(time.Minute)
		open := b.gated()
		ctx, hangUp := context.WithCancel(context.Background())
		result := make(chan error)
		go func() {
			_, err := b.Authenticate(ctx, bearer(testToken), testClient)
			result <- err
		}()
		synctest.Wait()
		hangUp()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		open()
	})
}

func TestMuteStoreDelaysThoseThatQueueBehindItOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		tokens := b.crowd(100)
		time.Sleep(time.Minute)
		b.store.onLookup(mute)
		start := time.Now()
		for i, err := range b.queued(tokens[:batchesAtOnce], tokens[batchesAtOnce:])() {
			if err != nil {
				t.Errorf("%s: %v", tokens[batchesAtOnce+i], err)
			}
		}
		if took := time.Since(start); took > 2*patience {
			t.Errorf("they waited %s", took)
		}
	}, roomy)
}

// Its entry has gone from the cache since others queued for it; nothing may be used stale.
func TestUncachedKeyWaitsNoLongerInTheQueueThanACachedOne(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		defer b.gated()()
		for i := range batchesAtOnce {
			b.join(Hash{byte(i)}, "", true)
			synctest.Wait()
		}
		b.join(HashOf(testToken), "", true)
		start := time.Now()
		if err := b.call(testToken); !errors.Is(err, errBusy) || time.Since(start) != queueWait {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	}, func(o *Options) { o.Stale = 0 })
}
