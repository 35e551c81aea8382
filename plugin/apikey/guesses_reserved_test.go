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

// withGuesses gives each address n guesses an hour.
func withGuesses(n int) func(*Options) {
	return func(o *Options) { o.Guesses = limitOf(n, time.Hour) }
}

func TestGuesses_ValidKeysNeedNoBudget(t *testing.T) {
	for _, budget := range []int{1, 5} {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) {
				_, most, release := blockLookups(b)
				release()
				b.store.change(func(s *fakeStore) {
					counted := s.before
					s.before = func(ctx context.Context, call int) { counted(ctx, call); time.Sleep(10 * time.Millisecond) }
				})
				const keys, atATime = 80, 16
				tokens := make(chan string, keys)
				for i := range keys {
					token := fmt.Sprint("key", i)
					b.store.set(token, Key{ID: token})
					tokens <- token
				}
				close(tokens)
				var clients sync.WaitGroup
				for range atATime {
					clients.Go(func() {
						for token := range tokens {
							if _, err := b.authenticate(token); err != nil {
								t.Errorf("%s: %v", token, err)
							}
						}
					})
				}
				clients.Wait()
				b.wantLookups(keys)
				wantGuesses(t, b, 0)
				if most.Load() > int32(budget) {
					t.Errorf("%d lookups at once hold more than a budget of %d", most.Load(), budget)
				}
			}, withGuesses(budget))
		})
	}
}

func TestGuesses_WaitForReservedGuess(t *testing.T) {
	for _, c := range []struct {
		name, ahead string
		check       func(t *testing.T, err error)
	}{
		{"a valid key gives its guess back", testToken, func(t *testing.T, err error) { wantCause(t, err, CauseUnknown) }},
		{"a guess spends it", "guess", func(t *testing.T, err error) { wantSpent(t, err) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) {
				open := b.gated()
				ahead := b.request(t.Context(), c.ahead, testClient)
				waiting := b.request(t.Context(), "another", testClient)
				b.wantLookups(1)
				if len(waiting) > 0 {
					t.Fatalf("it did not wait: %v", <-waiting)
				}
				open()
				<-ahead
				c.check(t, <-waiting)
			}, withGuesses(1))
		})
	}
}

func TestGuesses_OtherAddressDoesNotWait(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		open := b.gated()
		ahead := b.request(t.Context(), "guess", testClient)
		waiting := b.request(t.Context(), testToken, testClient)
		b.store.onLookup(nil)
		if err := b.callFrom(testToken, "192.0.2.99"); err != nil {
			t.Errorf("another address: %v", err)
		}
		open()
		wantCause(t, <-ahead, CauseUnknown)
		if err := <-waiting; err != nil { // the key is cached by now, though the budget is spent
			t.Errorf("got %v", err)
		}
		b.wantLookups(2)
	}, withGuesses(1))
}

func TestGuesses_WaitingRequestsShareLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.set("another", Key{})
		open := b.gated()
		b.request(t.Context(), testToken, testClient)
		var waiting [10]<-chan error
		for i := range waiting {
			waiting[i] = b.request(t.Context(), "another", testClient)
		}
		b.store.onLookup(func(context.Context, int) { time.Sleep(time.Millisecond) })
		open()
		for _, result := range waiting {
			if err := <-result; err != nil {
				t.Error(err)
			}
		}
		if n := b.store.lookups(); n > 3 { // the next one may come before the cache shows what was found
			t.Errorf("%d lookups of two keys", n)
		}
		wantGuesses(t, b, 0)
	}, withGuesses(1))
}

func TestGuesses_WaitIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		open := b.gated()
		defer open()
		b.request(t.Context(), testToken, testClient)
		start := time.Now()
		late := b.request(t.Context(), "late", testClient)
		ctx, hangUp := context.WithCancel(t.Context())
		gone := b.request(ctx, "gone", testClient)
		hangUp()
		if err := <-gone; !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("who hangs up gets %v", err)
		}
		if err := <-late; !errors.Is(err, ErrUnavailable) || !errors.Is(err, errBusy) {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(start); waited != queueWait {
			t.Errorf("waited %s", waited)
		}
		b.wantLookups(1)
		if b.Stats().Outage {
			t.Error("a client that waits for itself is taken for an outage of the store")
		}
	}, withGuesses(1))
}

func TestGuesses_WaitingRequestsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		open := b.gated()
		b.request(t.Context(), "guess", testClient)
		results := make(chan error, maxWaiting)
		for i := range maxWaiting {
			go func() { results <- b.call(fmt.Sprint("guess", i)) }()
		}
		synctest.Wait()
		if tooMany := b.request(t.Context(), "one-too-many", testClient); len(tooMany) == 0 || !errors.Is(<-tooMany, errBusy) {
			t.Error("it waits too")
		}
		elsewhere := b.request(t.Context(), testToken, "192.0.2.2")
		b.wantLookups(2)
		open()
		for range maxWaiting {
			wantSpent(t, <-results)
		}
		if err := <-elsewhere; err != nil {
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
		client, budgets := clientAddr(testClient), make(chan *budget, 10)
		hold := func(name int) <-chan error {
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
			if err := <-hold(0); err != nil {
				t.Fatal(err)
			}
		}
		held := <-budgets
		<-budgets
		first, second, third := hold(1), hold(2), hold(3)
		g.release(held, true)
		synctest.Wait()
		if len(first)+len(second)+len(third) != 0 {
			t.Fatal("more is held than there is")
		}
		now = 500 * time.Millisecond
		g.release(held, false)
		if err := <-first; err != nil {
			t.Error(err)
		}
		now = time.Second // a guess has come back
		fourth := hold(4)
		if err := <-second; err != nil || len(third)+len(fourth) != 0 {
			t.Errorf("%v, and %d others went before their turn", err, len(third)+len(fourth))
		}
		g.release(held, true)
		g.release(held, true)
		for _, denied := range []<-chan error{third, fourth} {
			if spent := wantSpent(t, <-denied); *spent != (GuessesSpent{limitOf(2, 2*time.Second), 2 * time.Second, time.Second}) {
				t.Errorf("%+v", *spent)
			}
		}
	})
}
