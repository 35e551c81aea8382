package apikey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// withGuesses sets a budget of n guesses per hour.
func withGuesses(n int) func(*Options) {
	return func(o *Options) { o.Guesses = limitOf(n, time.Hour) }
}

func TestGuesses_ValidKeysNeedNoBudget(t *testing.T) {
	for _, budget := range []int{1, 5} {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) {
				_, most, unblock := b.countLookups()
				unblock() // only count
				b.store.change(func(s *fakeStore) {
					count := s.before
					s.before = func(ctx context.Context, call int) {
						count(ctx, call)
						time.Sleep(10 * time.Millisecond)
					}
				})
				const keys, clients = 80, 16
				tokens := make(chan string, keys)
				for i := range keys {
					token := fmt.Sprint("key", i)
					b.store.set(token, Key{ID: token})
					tokens <- token
				}
				close(tokens)
				var all sync.WaitGroup
				for range clients {
					all.Go(func() {
						for token := range tokens {
							if _, err := b.authenticate(token); err != nil {
								t.Errorf("%s: %v", token, err)
							}
						}
					})
				}
				all.Wait()
				b.wantLookups(keys)
				wantGuesses(t, b, 0)
				if most.Load() > int32(budget) {
					t.Errorf("%d concurrent lookups, more than the budget of %d", most.Load(), budget)
				}
			}, withGuesses(budget))
		})
	}
}

func TestGuesses_WaitForReservedGuess(t *testing.T) {
	for _, c := range []struct {
		name, first string
		spent       bool
	}{
		{"valid key", testToken, false},
		{"guess", "guess", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) {
				unblock := b.blockLookups()
				first := b.request(t.Context(), c.first, testClient)
				waiting := b.request(t.Context(), "another", testClient)
				b.wantLookups(1)
				if len(waiting) > 0 {
					t.Fatalf("the second request did not wait: %v", <-waiting)
				}
				unblock()
				<-first
				if c.spent {
					wantSpent(t, <-waiting)
				} else {
					wantCause(t, <-waiting, CauseUnknown)
				}
			}, withGuesses(1))
		})
	}
}

func TestGuesses_OtherAddressDoesNotWait(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		unblock := b.blockLookups()
		first := b.request(t.Context(), "guess", testClient)
		waiting := b.request(t.Context(), testToken, testClient)
		b.store.onLookup(nil)
		if err := b.callFrom(testToken, "192.0.2.99"); err != nil {
			t.Errorf("another address: %v", err)
		}
		unblock()
		wantCause(t, <-first, CauseUnknown)
		if err := <-waiting; err != nil { // the budget is spent, but the key is cached by now
			t.Errorf("got %v", err)
		}
		b.wantLookups(2)
	}, withGuesses(1))
}

func TestGuesses_WaitingRequestsShareLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.set("another", Key{})
		unblock := b.blockLookups()
		b.request(t.Context(), testToken, testClient)
		var waiting [10]<-chan error
		for i := range waiting {
			waiting[i] = b.request(t.Context(), "another", testClient)
		}
		b.store.onLookup(func(context.Context, int) { time.Sleep(time.Millisecond) })
		unblock()
		for _, result := range waiting {
			if err := <-result; err != nil {
				t.Error(err)
			}
		}
		if n := b.store.lookups(); n > 3 { // a request may come before the cache contains the result
			t.Errorf("%d lookups of two keys, want at most 3", n)
		}
		wantGuesses(t, b, 0)
	}, withGuesses(1))
}

func TestGuesses_WaitIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		unblock := b.blockLookups()
		defer unblock()
		b.request(t.Context(), testToken, testClient)
		start := time.Now()
		late := b.request(t.Context(), "late", testClient)
		ctx, cancel := context.WithCancel(t.Context())
		canceled := b.request(ctx, "canceled", testClient)
		cancel()
		if err := <-canceled; !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("canceled request: got %v, want context.Canceled", err)
		}
		if err := <-late; !errors.Is(err, ErrUnavailable) || !errors.Is(err, errBusy) {
			t.Errorf("got %v, want errBusy", err)
		}
		if waited := time.Since(start); waited != queueWait {
			t.Errorf("waited %s, want %s", waited, queueWait)
		}
		b.wantLookups(1)
		b.wantOutage(false)
	}, withGuesses(1))
}

func TestGuesses_WaitingRequestsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		unblock := b.blockLookups()
		b.request(t.Context(), "guess", testClient)
		results := make(chan error, maxWaiting)
		for i := range maxWaiting {
			go func() { results <- b.call(fmt.Sprint("guess", i)) }()
		}
		synctest.Wait()
		tooMany := b.request(t.Context(), "one-too-many", testClient)
		if len(tooMany) == 0 || !errors.Is(<-tooMany, errBusy) {
			t.Errorf("request %d waits, want errBusy", maxWaiting+1)
		}
		other := b.request(t.Context(), testToken, "192.0.2.2")
		b.wantLookups(2)
		unblock()
		for range maxWaiting {
			wantSpent(t, <-results)
		}
		if err := <-other; err != nil {
			t.Errorf("another address: %v", err)
		}
		wantGuesses(t, b, 1)
	}, withGuesses(1))
}

func TestGuesses_LongestWaitComesFirst(t *testing.T) {
	now := time.Duration(0)
	g, err := newGuesses(limitOf(2, 2*time.Second), func() time.Duration { return now })
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		client, budgets := ClientAddr(testClient), make(chan *budget, 10)
		reserve := func() <-chan error {
			result := make(chan error, 1)
			go func() {
				b, err := g.reserve(t.Context(), client)
				budgets <- b
				result <- err
			}()
			synctest.Wait()
			return result
		}
		for range 2 {
			if err := <-reserve(); err != nil {
				t.Fatal(err)
			}
		}
		b := <-budgets
		<-budgets
		first, second, third := reserve(), reserve(), reserve()
		g.release(b, true)
		synctest.Wait()
		if len(first)+len(second)+len(third) != 0 {
			t.Fatal("more guesses are reserved than the budget has")
		}
		now = 500 * time.Millisecond
		g.release(b, false)
		if err := <-first; err != nil {
			t.Error(err)
		}
		now = time.Second // a guess has come back
		fourth := reserve()
		if err := <-second; err != nil || len(third)+len(fourth) != 0 {
			t.Errorf("got %v, and %d others were served too early", err, len(third)+len(fourth))
		}
		g.release(b, true)
		g.release(b, true)
		want := GuessesSpent{limitOf(2, 2*time.Second), 2 * time.Second, time.Second}
		for _, denied := range []<-chan error{third, fourth} {
			if spent := wantSpent(t, <-denied); *spent != want {
				t.Errorf("got %+v, want %+v", *spent, want)
			}
		}
	})
}
