package apikey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowd makes n keys, all of them cached.
func (b *bundle) crowd(n int) []string {
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

func roomy(o *Options) { o.Size = 100_000 }

// requests runs one with each of these keys; they begin in this order. The results come in it too, when all have ended.
func (b *bundle) requests(tokens ...string) (ended func() []error) {
	var all sync.WaitGroup
	results := make([]error, len(tokens))
	for i, token := range tokens {
		all.Go(func() { _, results[i] = b.Authenticate(context.Background(), bearer(token), testClient) })
		synctest.Wait()
	}
	return func() []error { all.Wait(); b.settle(); return results }
}

// gated has the store keep its answers until open is called.
func (b *bundle) gated() (open func()) {
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
func (b *bundle) wantBatches(want ...int) {
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

// Each key is used once a second.
func TestRevokedKeyIsGoneInFiveSecondsHoweverManyKeysADeafEdgeServes(t *testing.T) {
	for _, c := range []struct {
		keys int
		took time.Duration // each question to the store
		back bool          // the listener is back in the moment of the revocation, which it missed
	}{
		{200, 30 * time.Millisecond, false},
		{3000, 30 * time.Millisecond, false},
		{3000, 30 * time.Millisecond, true},
		{3000, 500 * time.Millisecond, false},
		{3000, 500 * time.Millisecond, true},
	} {
		t.Run(fmt.Sprintf("%d keys, %s, back %t", c.keys, c.took, c.back), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bundle) {
				tokens := b.crowd(c.keys)
				b.store.onLookup(func(context.Context, int) { time.Sleep(c.took) })
				b.Deaf()
				var over atomic.Bool
				var refused, unavailable atomic.Int32
				var last atomic.Int64 // when the key was admitted
				var all sync.WaitGroup
				for i, token := range tokens {
					all.Go(func() {
						time.Sleep(time.Duration(i) * time.Second / time.Duration(c.keys))
						for ; !over.Load(); time.Sleep(time.Second) {
							_, err := b.Authenticate(context.Background(), bearer(token), testClient)
							switch {
							case errors.Is(err, ErrUnavailable):
								unavailable.Add(1)
							case err != nil:
								refused.Add(1)
							case i == 7:
								last.Store(int64(b.now()))
							}
						}
					})
				}
				time.Sleep(8 * time.Second)
				synctest.Wait()
				b.store.set(tokens[7], Key{Revoked: true})
				revoked, bound := b.now(), deafTrust
				if c.back {
					b.Listening()
					bound = c.took // one that was asked for before
				}
				time.Sleep(12 * time.Second)
				over.Store(true)
				all.Wait()
				if after := time.Duration(last.Load()) - revoked; after > bound {
					t.Errorf("it was admitted %s after its revocation", after)
				}
				if refused.Load() == 0 || unavailable.Load() > 0 {
					t.Errorf("%d requests refused, %d unavailable", refused.Load(), unavailable.Load())
				}
			}, roomy)
		})
	}
}

func TestKnownKeysThatWaitAreAskedForTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		tokens := b.crowd(batchesAtOnce + batchSize + 10)
		b.store.set(tokens[20], Key{Revoked: true})
		b.Listening()
		open := b.gated()
		waiting := tokens[batchesAtOnce:]
		ended := b.queued(tokens[:batchesAtOnce], append(waiting, waiting...)) // each twice: one shares the other's answer
		open()
		for i, err := range ended() {
			if token := waiting[i%len(waiting)]; token == tokens[20] {
				wantCause(t, err, CauseRevoked)
			} else if err != nil {
				t.Errorf("%s: %v", token, err)
			}
		}
		b.wantBatches(1, 1, 10, batchSize)
	}, roomy)
}

func TestKeyMissingInABatchDoesNotComeBackInAnOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		tokens := b.crowd(10)
		b.store.delete(tokens[5])
		b.Listening()
		open := b.gated()
		ended := b.queued(tokens[:batchesAtOnce], tokens[batchesAtOnce:])
		open()
		wantCause(t, ended()[5-batchesAtOnce], CauseUnknown)
		b.store.fail(errStoreDown)
		time.Sleep(unknownTTL)
		b.wantUnavailable(tokens[5])
		b.wantOK(tokens[6])
	})
}

// queued has each worker stuck in a gated store with a key of its own, and requests with the others queue.
func (b *bundle) queued(busy, waiting []string) (ended func() []error) {
	b.t.Helper()
	for _, token := range busy {
		b.requests(token)
	}
	ended = b.requests(waiting...)
	b.wantBatches(1, 1)
	return ended
}

func TestRevocationWhileItsBatchIsUnderWayIsNotOverlooked(t *testing.T) {
	for name, payload := range map[string]string{"key": "key:" + HashOf("key5").String(), "workspace": "workspace:ws_1", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bundle) {
				tokens := b.crowd(10)
				b.Listening()
				open := b.gated()
				ended := b.queued(tokens[:batchesAtOnce], tokens[batchesAtOnce:])
				b.store.onLookup(func(_ context.Context, call int) {
					if call == 3 { // the answer is on its way, and says that all hold
						b.store.set("key5", Key{Revoked: true})
						b.Notify(payload)
					}
				})
				open()
				for i, err := range ended() {
					if tokens[batchesAtOnce+i] == "key5" {
						wantCause(t, err, CauseRevoked)
					} else if err != nil {
						t.Errorf("%s: %v", tokens[batchesAtOnce+i], err)
					}
				}
				b.wantCause("key5", CauseRevoked)
			})
		})
	}
}

func TestOutageInABatchServesAllOfItStale(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		tokens := b.crowd(100)
		b.Listening()
		open := b.gated()
		ended := b.queued(tokens[:batchesAtOnce], tokens[batchesAtOnce:])
		b.Notify("key:" + HashOf(tokens[50]).String())
		b.store.fail(errStoreDown)
		b.store.onLookup(func(context.Context, int) { time.Sleep(time.Millisecond) }) // after the answers that are held
		open()
		for i, err := range ended() {
			if tokens[batchesAtOnce+i] == tokens[50] { // of which something was heard
				if !errors.Is(err, errStoreDown) {
					t.Errorf("%s: %v", tokens[50], err)
				}
			} else if err != nil {
				t.Errorf("%s: %v", tokens[batchesAtOnce+i], err)
			}
		}
		if !b.Stats().Outage {
			t.Error("it does not take that for an outage")
		}
		if calls := b.store.lookups(); calls > batchesAtOnce+10 { // 98 keys, and halves down to two single ones
			t.Errorf("an outage was asked %d times", calls)
		}
	}, roomy)
}

func TestRowThatCannotBeReadIsNoOutage(t *testing.T) {
	for name, known := range map[string]bool{"of a known key": true, "of an unknown key": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bundle) {
				tokens := b.crowd(2)
				bad, other := "cold", tokens[1]
				if known {
					bad = tokens[0]
				}
				b.store.change(func(s *fakeStore) { s.unread = map[Hash]bool{HashOf(bad): true} })
				b.Deaf()
				time.Sleep(deafTrust)
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
func TestManyRowsThatCannotBeReadAreNoOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		tokens := b.crowd(1000 + batchesAtOnce)
		queued := tokens[batchesAtOnce:]
		b.store.change(func(s *fakeStore) {
			s.unread = map[Hash]bool{}
			for i := range 10 {
				s.unread[HashOf(queued[100*i+50])] = true
			}
		})
		b.store.set(queued[900], Key{Revoked: true})
		b.Deaf()
		time.Sleep(deafTrust)
		open := b.gated()
		ended := b.queued(tokens[:batchesAtOnce], queued)
		b.store.onLookup(func(context.Context, int) { time.Sleep(5 * time.Millisecond) })
		open()
		wantCause(t, ended()[900], CauseRevoked)
		if b.Stats().Outage {
			t.Error("it takes that for an outage")
		}
	}, roomy)
}

func TestRowsThatCannotBeReadFailAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		tokens := b.crowd(300)
		b.Notify("") // so that none may be used stale
		open := b.gated()
		ended := b.queued(tokens[:batchesAtOnce], tokens[batchesAtOnce:])
		bad := map[string]bool{tokens[batchesAtOnce]: true, tokens[100]: true, tokens[101]: true, tokens[151]: true, tokens[299]: true}
		b.store.change(func(s *fakeStore) {
			s.unread = map[Hash]bool{}
			for token := range bad {
				s.unread[HashOf(token)] = true
			}
		})
		open()
		for i, err := range ended() {
			if token := tokens[batchesAtOnce+i]; bad[token] != errors.Is(err, errUnreadable) || !bad[token] && err != nil {
				t.Errorf("%s: %v", token, err)
			}
		}
		if b.Stats().Outage {
			t.Error("it takes that for an outage")
		}
	}, roomy)
}
