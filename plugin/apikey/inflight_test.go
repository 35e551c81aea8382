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

	"hoko.to/edge/plugin/tracing"
)

// cacheKeys adds n keys to the store and the cache, and returns their tokens.
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

// requests starts a request with each token, one after the other. results waits for all of them and
// returns their errors in the same order.
func (b *fixture) requests(tokens ...string) (results func() []error) {
	var all sync.WaitGroup
	errs := make([]error, len(tokens))
	for i, token := range tokens {
		all.Go(func() { _, errs[i] = b.authenticate(token) })
		synctest.Wait()
	}
	return func() []error { all.Wait(); b.wait(); return errs }
}

// blockLookups makes lookups hang until unblock is called.
func (b *fixture) blockLookups() (unblock func()) {
	_, _, unblock = b.countLookups()
	return unblock
}

// wantBatches checks the sizes of the batches, in ascending order.
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
		b.t.Errorf("got batches of %v keys, want %v", got, want)
	}
}

func TestBatch_LooksUpWaitingKeysTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		tokens := b.cacheKeys(maxBatches + batchSize + 10)
		b.store.set(tokens[20], Key{Revoked: true})
		b.ListenerUp()
		unblock := b.blockLookups()
		waiting := tokens[maxBatches:]
		results := b.queued(tokens[:maxBatches], append(waiting, waiting...)) // two requests share a lookup
		unblock()
		for i, err := range results() {
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
		unblock := b.blockLookups()
		results := b.queued(tokens[:maxBatches], tokens[maxBatches:])
		unblock()
		wantCause(t, results()[5-maxBatches], CauseUnknown)
		b.store.fail(errStoreDown)
		time.Sleep(unknownTTL)
		b.wantUnavailable(tokens[5])
		b.wantOK(tokens[6])
	})
}

// queued makes each worker hang with one of the busy keys; see blockLookups. The requests with the
// waiting keys then queue, and results returns their errors.
func (b *fixture) queued(busy, waiting []string) (results func() []error) {
	b.t.Helper()
	for _, token := range busy {
		b.requests(token)
	}
	results = b.requests(waiting...)
	b.wantBatches(1, 1)
	return results
}

func TestBatch_KeyRevokedDuringLookup(t *testing.T) {
	eachPayload(t, "key5", func(t *testing.T, b *fixture, payload string) {
		tokens := b.cacheKeys(10)
		b.ListenerUp()
		unblock := b.blockLookups()
		results := b.queued(tokens[:maxBatches], tokens[maxBatches:])
		b.store.onLookup(func(_ context.Context, call int) {
			if call == 3 { // its answer says that all keys are valid
				b.store.set("key5", Key{Revoked: true})
				b.Notify(payload)
			}
		})
		unblock()
		for i, err := range results() {
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
		unblock := b.blockLookups()
		results := b.queued(tokens[:maxBatches], tokens[maxBatches:])
		b.Notify(keyPayload(tokens[50]))
		b.store.fail(errStoreDown)
		b.store.onLookup(func(context.Context, int) { time.Sleep(time.Millisecond) }) // after the blocked lookups
		unblock()
		for i, err := range results() {
			if tokens[maxBatches+i] == tokens[50] { // concerned by the notification
				if !errors.Is(err, errStoreDown) {
					t.Errorf("%s: %v", tokens[50], err)
				}
			} else if err != nil {
				t.Errorf("%s: %v", tokens[maxBatches+i], err)
			}
		}
		b.wantOutage(true)
		if calls := b.store.lookups(); calls > maxBatches+10 { // more if the outage was bisected
			t.Errorf("%d calls of the store, want at most %d", calls, maxBatches+10)
		}
	}, largeCache)
}

func TestUnreadableRow_IsNoOutage(t *testing.T) {
	for name, cached := range map[string]bool{"of a cached key": true, "of an uncached key": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) {
				tokens := b.cacheKeys(2)
				bad, other := "uncached", tokens[1]
				if cached {
					bad = tokens[0]
				}
				b.store.corrupt(bad)
				b.ListenerDown()
				time.Sleep(listenerDownTTL)
				b.store.set(other, Key{Revoked: true})
				if err := b.call(bad); cached != (err == nil) {
					t.Errorf("unreadable row: got %v", err)
				}
				b.wantCause(other, CauseRevoked)
				b.wantOutage(false)
			})
		})
	}
}

// Bisecting takes longer than answerWait, but the store answers each query.
func TestUnreadableRows_ManyAreNoOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		tokens := b.cacheKeys(1000 + maxBatches)
		queued := tokens[maxBatches:]
		b.store.corrupt(queued[50], queued[150], queued[250], queued[350], queued[450],
			queued[550], queued[650], queued[750], queued[850], queued[950])
		b.store.set(queued[900], Key{Revoked: true})
		b.ListenerDown()
		time.Sleep(listenerDownTTL)
		unblock := b.blockLookups()
		results := b.queued(tokens[:maxBatches], queued)
		b.store.onLookup(func(context.Context, int) { time.Sleep(5 * time.Millisecond) })
		unblock()
		wantCause(t, results()[900], CauseRevoked)
		b.wantOutage(false)
	}, largeCache)
}

func TestUnreadableRows_FailAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		tokens := b.cacheKeys(300)
		b.Notify("") // so that no key is served stale
		unblock := b.blockLookups()
		results := b.queued(tokens[:maxBatches], tokens[maxBatches:])
		bad := []string{tokens[maxBatches], tokens[100], tokens[101], tokens[151], tokens[299]}
		b.store.corrupt(bad...)
		unblock()
		for i, err := range results() {
			token, want := tokens[maxBatches+i], error(nil)
			if slices.Contains(bad, token) {
				want = errUnreadable
			}
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", token, err, want)
			}
		}
		b.wantOutage(false)
	}, largeCache)
}

// The store answers each query in time, but the queue is too long. A key must still not be used for
// longer than listenerDownTTL after its last lookup.
func TestBusyEdge_DoesNotExtendTrust(t *testing.T) {
	for _, c := range []struct {
		name string
		age  time.Duration // of the last lookup at the time of ListenerUp
		busy bool
	}{
		{"too old", listenerDownTTL - queueWait, true},
		{"not too old", listenerDownTTL - queueWait - time.Nanosecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) {
				tokens := b.cacheKeys(maxBatches*4*batchSize + 100)
				b.store.onLookup(func(context.Context, int) { time.Sleep(answerWait - time.Millisecond) })
				time.Sleep(c.age)
				b.ListenerUp()
				results := b.requests(tokens...)
				start, busy := time.Now(), 0
				for i, err := range results() {
					if errors.Is(err, errBusy) && errors.Is(err, ErrUnavailable) {
						busy++
					} else if err != nil {
						t.Errorf("%s: %v", tokens[i], err)
					}
				}
				if took := time.Since(start); took > queueWait+answerWait {
					t.Errorf("a request waited %s, want at most %s", took, queueWait+answerWait)
				}
				if (busy > 0) != c.busy {
					t.Errorf("%d of %d requests fail with errBusy, want any: %t", busy, len(tokens), c.busy)
				}
				b.wantOutage(false)
			}, largeCache)
		})
	}
}

func TestQueue_HoldsAtMostCacheSize(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		unblock := b.blockLookups()
		for i := range maxBatches {
			b.startOrJoin(Hash{byte(i)}, nil, tracing.Span{})
			synctest.Wait()
		}
		for i := range 10 {
			if p := b.startOrJoin(Hash{100, byte(i)}, nil, tracing.Span{}); p.err != nil {
				t.Fatal(p.err)
			}
		}
		p := b.startOrJoin(Hash{200}, nil, tracing.Span{})
		if <-p.done; !errors.Is(p.err, errBusy) {
			t.Errorf("got %v, want errBusy", p.err)
		}
		unblock()
	}, func(o *Options) { o.Size = 10 })
}

func TestStaleKey_NotServedAfterCancel(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		time.Sleep(time.Minute)
		unblock := b.blockLookups()
		ctx, cancel := context.WithCancel(context.Background())
		result := b.request(ctx, testToken, testClient)
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		unblock()
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
			t.Errorf("a request waited %s, want at most %s", took, 2*answerWait)
		}
	}, largeCache)
}

// The key was evicted after other requests had queued for it.
func TestQueue_EvictedKeyWaitsNoLonger(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		defer b.blockLookups()()
		for i := range maxBatches {
			b.startOrJoin(Hash{byte(i)}, nil, tracing.Span{})
			synctest.Wait()
		}
		b.startOrJoin(HashOf(testToken), nil, tracing.Span{})
		start := time.Now()
		if err := b.call(testToken); !errors.Is(err, errBusy) || time.Since(start) != queueWait {
			t.Errorf("after %s: got %v, want errBusy after %s", time.Since(start), err, queueWait)
		}
	}, func(o *Options) { o.Stale = -1 })
}
