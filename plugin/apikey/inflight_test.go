package apikey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// cacheKeys makes n keys, all of them cached.
func (b *fixture) cacheKeys(n int) []string {
	b.t.Helper()
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = fmt.Sprint("key", i)
		b.store.set(tokens[i], Key{ID: tokens[i], WorkspaceID: "ws_1"})
		if err := b.callFrom(tokens[i], fmt.Sprintf("10.0.%d.%d", i/250, i%250)); err != nil {
			b.t.Fatal(err)
		}
	}
	b.store.change(func(s *fakeStore) { s.batches = nil })
	return tokens
}

func largeCache(o *Options) { o.Size = 100_000 }

// requests runs one with each of these keys; they begin in this order. The results come in it too, when all have ended.
func (b *fixture) requests(tokens ...string) (ended func() []error) {
	var all sync.WaitGroup
	results := make([]error, len(tokens))
	for i, token := range tokens {
		all.Go(func() { _, results[i] = b.authenticate(token) })
		synctest.Wait()
	}
	return func() []error { all.Wait(); b.wait(); return results }
}

// gated has the store keep its answers until open is called.
func (b *fixture) gated() (open func()) {
	gate := make(chan struct{})
	b.store.onLookup(func(ctx context.Context, _ int) {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	})
	return func() { close(gate) }
}

// wantBatches are the sizes of those that the store was asked for.
func (b *fixture) wantBatches(want ...int) {
	b.t.Helper()
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	var got []int
	for _, batch := range b.store.batches {
		got = append(got, len(batch))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		b.t.Errorf("the store was asked for %v keys at once, want %v", got, want)
	}
}

func TestBatch_LooksUpWaitingKeysTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		tokens := b.cacheKeys(maxBatches + batchSize + 10)
		b.store.set(tokens[20], Key{Revoked: true})
		b.ListenerUp()
		open := b.gated()
		waiting := tokens[maxBatches:]
		ended := b.queued(tokens[:maxBatches], append(waiting, waiting...)) // each twice: one shares the other's answer
		open()
		for i, err := range ended() {
			if token := waiting[i%len(waiting)]; token == tokens[20] {
				wantCause(t, err, CauseRevoked)
			} else if err != nil {
				t.Errorf("%s: %v", token, err)
			}
		}
		b.wantBatches(1, 1, 10, batchSize)
	}, largeCache)
}

func TestBatch_DeletedKeyNotServedDuringOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		tokens := b.cacheKeys(10)
		b.store.delete(tokens[5])
		b.ListenerUp()
		open := b.gated()
		ended := b.queued(tokens[:maxBatches], tokens[maxBatches:])
		open()
		wantCause(t, ended()[5-maxBatches], CauseUnknown)
		b.store.fail(errStoreDown)
		time.Sleep(unknownTTL)
		b.wantUnavailable(tokens[5])
		b.wantOK(tokens[6])
	})
}

// queued has each worker stuck in a gated store with a key of its own, and requests with the others queue.
func (b *fixture) queued(busy, waiting []string) (ended func() []error) {
	b.t.Helper()
	for _, token := range busy {
		b.requests(token)
	}
	ended = b.requests(waiting...)
	b.wantBatches(1, 1)
	return ended
}

func TestBatch_KeyRevokedDuringLookup(t *testing.T) {
	eachPayload(t, "key5", func(t *testing.T, b *fixture, payload string) {
		tokens := b.cacheKeys(10)
		b.ListenerUp()
		open := b.gated()
		ended := b.queued(tokens[:maxBatches], tokens[maxBatches:])
		b.store.onLookup(func(_ context.Context, call int) {
			if call == 3 { // the answer is on its way, and says that all hold
				b.store.set("key5", Key{Revoked: true})
				b.Notify(payload)
			}
		})
		open()
		for i, err := range ended() {
			if tokens[maxBatches+i] == "key5" {
				wantCause(t, err, CauseRevoked)
			} else if err != nil {
				t.Errorf("%s: %v", tokens[maxBatches+i], err)
			}
		}
		b.wantCause("key5", CauseRevoked)
	})
}

func TestBatch_OutageServesAllStale(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		tokens := b.cacheKeys(100)
		b.ListenerUp()
		open := b.gated()
		ended := b.queued(tokens[:maxBatches], tokens[maxBatches:])
		b.Notify(keyPayload(tokens[50]))
		b.store.fail(errStoreDown)
		b.store.onLookup(func(context.Context, int) { time.Sleep(time.Millisecond) }) // after the answers that are held
		open()
		for i, err := range ended() {
			if tokens[maxBatches+i] == tokens[50] { // of which something was heard
				if !errors.Is(err, errStoreDown) {
					t.Errorf("%s: %v", tokens[50], err)
				}
			} else if err != nil {
				t.Errorf("%s: %v", tokens[maxBatches+i], err)
			}
		}
		if !b.Stats().Outage {
			t.Error("it does not take that for an outage")
		}
		if calls := b.store.lookups(); calls > maxBatches+10 { // 98 keys, and halves down to two single ones
			t.Errorf("an outage was asked %d times", calls)
		}
	}, largeCache)
}

func TestUnreadableRow_IsNoOutage(t *testing.T) {
	for name, known := range map[string]bool{"of a known key": true, "of an unknown key": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) {
				tokens := b.cacheKeys(2)
				bad, other := "cold", tokens[1]
				if known {
					bad = tokens[0]
				}
				b.store.change(func(s *fakeStore) { s.unread = map[Hash]bool{HashOf(bad): true} })
				b.ListenerDown()
				time.Sleep(listenerDownTTL)
				b.store.set(other, Key{Revoked: true})
				if err := b.call(bad); known != (err == nil) {
					t.Errorf("the bad one: %v", err)
				}
				b.wantCause(other, CauseRevoked)
				if b.Stats().Outage {
					t.Error("it takes that for an outage")
				}
			})
		})
	}
}

// As many queries as they take, the store is not mute that answers each.
func TestUnreadableRows_ManyAreNoOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		tokens := b.cacheKeys(1000 + maxBatches)
		queued := tokens[maxBatches:]
		b.store.change(func(s *fakeStore) {
			s.unread = map[Hash]bool{}
			for i := range 10 {
				s.unread[HashOf(queued[100*i+50])] = true
			}
		})
		b.store.set(queued[900], Key{Revoked: true})
		b.ListenerDown()
		time.Sleep(listenerDownTTL)
		open := b.gated()
		ended := b.queued(tokens[:maxBatches], queued)
		b.store.onLookup(func(context.Context, int) { time.Sleep(5 * time.Millisecond) })
		open()
		wantCause(t, ended()[900], CauseRevoked)
		if b.Stats().Outage {
			t.Error("it takes that for an outage")
		}
	}, largeCache)
}

func TestUnreadableRows_FailAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		tokens := b.cacheKeys(300)
		b.Notify("") // so that none may be used stale
		open := b.gated()
		ended := b.queued(tokens[:maxBatches], tokens[maxBatches:])
		bad := map[string]bool{tokens[maxBatches]: true, tokens[100]: true, tokens[101]: true, tokens[151]: true, tokens[299]: true}
		b.store.change(func(s *fakeStore) {
			s.unread = map[Hash]bool{}
			for token := range bad {
				s.unread[HashOf(token)] = true
			}
		})
		open()
		for i, err := range ended() {
			if token := tokens[maxBatches+i]; bad[token] != errors.Is(err, errUnreadable) || !bad[token] && err != nil {
				t.Errorf("%s: %v", token, err)
			}
		}
		if b.Stats().Outage {
			t.Error("it takes that for an outage")
		}
	}, largeCache)
}

// The store answers each question in time, but the queue is longer than that it
// could be served: that is no outage, and must not prolong what is promised.
func TestBusyEdge_DoesNotExtendTrust(t *testing.T) {
	for _, c := range []struct {
		name string
		age  time.Duration // of the check, when the listener is back
		busy bool
	}{
		{"checked too long ago", listenerDownTTL - queueWait, true},
		{"checked a moment ago", listenerDownTTL - queueWait - time.Nanosecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) {
				tokens := b.cacheKeys(maxBatches*4*batchSize + 100)
				b.store.onLookup(func(context.Context, int) { time.Sleep(answerWait - time.Millisecond) })
				time.Sleep(c.age)
				b.ListenerUp()
				ended := b.requests(tokens...)
				start, busy := time.Now(), 0
				for i, err := range ended() {
					if errors.Is(err, errBusy) && errors.Is(err, ErrUnavailable) {
						busy++
					} else if err != nil {
						t.Errorf("%s: %v", tokens[i], err)
					}
				}
				if took := time.Since(start); took > queueWait+answerWait {
					t.Errorf("one waited %s", took)
				}
				if (busy > 0) != c.busy {
					t.Errorf("%d of %d are told that the edge is busy", busy, len(tokens))
				}
				if b.Stats().Outage {
					t.Error("it takes itself for an outage of the store")
				}
			}, largeCache)
		})
	}
}

func TestQueue_HoldsAtMostCacheSize(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		open := b.gated()
		for i := range maxBatches {
			b.startOrJoin(Hash{byte(i)}, nil)
			synctest.Wait()
		}
		for i := range 10 {
			if f := b.startOrJoin(Hash{100, byte(i)}, nil); f.err != nil {
				t.Fatal(f.err)
			}
		}
		f := b.startOrJoin(Hash{200}, nil)
		if <-f.done; !errors.Is(f.err, errBusy) {
			t.Errorf("got %v", f.err)
		}
		open()
	}, func(o *Options) { o.Size = 10 })
}

func TestStaleKey_NotServedAfterCancel(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		time.Sleep(time.Minute)
		open := b.gated()
		ctx, hangUp := context.WithCancel(context.Background())
		result := b.request(ctx, testToken, testClient)
		hangUp()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		open()
	})
}

func TestUnresponsiveStore_DelaysQueuedKeysOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		tokens := b.cacheKeys(100)
		time.Sleep(time.Minute)
		b.store.onLookup(unresponsive)
		start := time.Now()
		for i, err := range b.queued(tokens[:maxBatches], tokens[maxBatches:])() {
			if err != nil {
				t.Errorf("%s: %v", tokens[maxBatches+i], err)
			}
		}
		if took := time.Since(start); took > 2*answerWait {
			t.Errorf("they waited %s", took)
		}
	}, largeCache)
}

// Its entry has gone from the cache since others queued for it; nothing may be used stale.
func TestQueue_EvictedKeyWaitsNoLonger(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		defer b.gated()()
		for i := range maxBatches {
			b.startOrJoin(Hash{byte(i)}, nil)
			synctest.Wait()
		}
		b.startOrJoin(HashOf(testToken), nil)
		start := time.Now()
		if err := b.call(testToken); !errors.Is(err, errBusy) || time.Since(start) != queueWait {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	}, func(o *Options) { o.Stale = -1 })
}
