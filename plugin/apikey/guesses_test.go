package apikey

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wantGuesses checks how many guesses the test client has spent, and that none is reserved.
func wantGuesses(t *testing.T, b *fixture, want int) {
	t.Helper()
	b.guesses.mu.Lock()
	defer b.guesses.mu.Unlock()
	budget, ok := b.guesses.budgets.Get(ClientAddr(testClient))
	if !ok {
		t.Fatal("the client has no budget: it has caused no lookup")
	}
	spent := max(budget.fullAt-b.now(), 0)
	if got := int((spent + b.guesses.interval - 1) / b.guesses.interval); got != want || budget.reserved != 0 {
		t.Errorf("%d guesses are spent and %d reserved, want %d and none", got, budget.reserved, want)
	}
}

func TestGuesses_SixtyPerMinute(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		for i := range 60 {
			b.wantCause(fmt.Sprint("guess", i), CauseUnknown)
		}
		spent := wantSpent(t, b.call("one-more"))
		want := GuessesSpent{Limit: limitOf(60, time.Minute), ResetAfter: time.Minute, RetryAfter: time.Second}
		if *spent != want {
			t.Errorf("got %+v, want %+v", *spent, want)
		}
		b.wantLookups(60)
		b.wantCause("guess59", CauseUnknown) // remembered as unknown
		b.wantLookups(60)
		if err := b.callFrom(testToken, "192.0.2.2"); err != nil {
			t.Errorf("another address: %v", err)
		}
		b.wantOK(testToken) // a cached key needs no budget
		b.wantLookups(61)

		time.Sleep(time.Second - time.Nanosecond)
		wantSpent(t, b.call("one-more"))
		time.Sleep(time.Nanosecond)
		b.wantCause("one-more", CauseUnknown)
		wantSpent(t, b.call("and-another"))
		time.Sleep(time.Minute)
		for i := range 60 {
			b.wantCause(fmt.Sprint("later", i), CauseUnknown)
		}
		wantSpent(t, b.call("one-too-many"))
	})
}

func TestGuesses_CachedKeyNeedsNoBudget(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.wantCause("guess", CauseUnknown)
		wantSpent(t, b.call("another"))
		b.Notify("workspace:ws_1")
		b.wantOK(testToken) // looked up again
		time.Sleep(time.Minute)
		b.wantOK(testToken)
		b.wantLookups(4)
	}, withGuesses(1))
}

func TestGuesses_ConcurrentDoNotOverspend(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.onLookup(func(context.Context, int) { time.Sleep(time.Millisecond) })
		var unknown, spent atomic.Int32
		var requests sync.WaitGroup
		for i := range 64 {
			requests.Go(func() {
				_, err := b.send(bearer(fmt.Sprint("guess", i)))
				if _, ok := errors.AsType[*GuessesSpent](err); ok {
					spent.Add(1)
				}
				if _, ok := errors.AsType[*Rejected](err); ok {
					unknown.Add(1)
				}
			})
		}
		requests.Wait()
		if unknown.Load() != 60 || spent.Load() != 4 {
			t.Errorf("%d keys unknown and %d denied, want 60 and 4", unknown.Load(), spent.Load())
		}
		b.wantLookups(60)
	}, withGuesses(60))
}

func TestGuesses_OnlyUnknownKeysCount(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		for i := range 100 {
			token := fmt.Sprint("key", i)
			b.store.set(token, Key{Revoked: i%2 == 0})
			b.call(token)
		}
		wantGuesses(t, b, 0)
		b.store.fail(errStoreDown)
		for i := range 100 {
			b.wantUnavailable(fmt.Sprint("uncached", i))
		}
		wantGuesses(t, b, 0)
		b.store.fail(nil)
		b.wantCause("unknown", CauseUnknown)
		b.wantCause("unknown", CauseUnknown)
		wantGuesses(t, b, 1)
	})
}

func TestClientAddr(t *testing.T) {
	tests := []struct {
		name, a, b string
		same       bool
	}{
		{"same address", "192.0.2.1", "192.0.2.1", true},
		{"next IPv4 address", "192.0.2.1", "192.0.2.2", false},
		{"IPv4-mapped", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"next IPv4-mapped address", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"same /64", "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"another /64", "2001:db8::1", "2001:db8:0:1::1", false},
		{"zones", "fe80::1%eth0", "fe80::2%eth1", true},
		{"IPv4 and IPv6", "0.0.0.0", "::", false},
		{"no addresses", "", "example.com", true},
		{"no address and a real one", "", "0.0.0.0", false},
		{"address with a port", "192.0.2.1:80", "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if same := ClientAddr(test.a) == ClientAddr(test.b); same != test.same {
				t.Errorf("%q and %q share a budget: %t, want %t", test.a, test.b, same, test.same)
			}
		})
	}
}

func TestGuesses_AddressesAreBounded(t *testing.T) {
	g, err := newGuesses(limitOf(60, time.Minute), stoppedClock)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1_000_000 {
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], uint32(i))
		budget, err := g.reserve(t.Context(), netip.AddrFrom4(address))
		if err != nil {
			t.Fatal(err)
		}
		g.release(budget, true)
	}
	if g.len() != maxClients {
		t.Errorf("%d addresses are remembered, want %d", g.len(), maxClients)
	}
}

func FuzzClientAddr(f *testing.F) {
	for _, seed := range []string{"", "192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1%eth0", "[::1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, client string) {
		addr := ClientAddr(client)
		if addr.Zone() != "" || addr.Is4In6() {
			t.Fatalf("%q becomes %s", client, addr)
		}
		if addr.Is6() {
			if bytes := addr.As16(); binary.BigEndian.Uint64(bytes[8:]) != 0 {
				t.Fatalf("%q becomes %s, want a /64", client, addr)
			}
		}
		if addr.IsValid() && ClientAddr(addr.String()) != addr {
			t.Fatalf("%q becomes %s, which becomes %s", client, addr, ClientAddr(addr.String()))
		}
	})
}
