package apikey

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"hoko.to/edge/plugin/limit"
)

const (
	// maxClients bounds the client addresses whose budgets are remembered.
	maxClients = 65_536
	// maxWaiting bounds the requests of one address that wait for its other lookups.
	maxWaiting = 4096
)

// GuessesSpent is the error for a 429: the key would need a lookup, but the client's address has
// used up its budget of lookups that find no key.
type GuessesSpent struct {
	// Limit is the budget.
	Limit limit.Limit
	// ResetAfter is the time until the budget is full again.
	ResetAfter time.Duration
	// RetryAfter is the time until the budget allows another guess.
	RetryAfter time.Duration
}

func (g *GuessesSpent) Error() string {
	return fmt.Sprintf("guess budget of the client address is spent: retry after %s", g.RetryAfter)
}

// guesses limits the lookups of unknown keys for each client address, by GCRA in this process. A
// lookup reserves a guess while it runs, so that concurrent lookups cannot overspend the budget,
// and spends the guess only if it finds no key. If all guesses left are reserved, a lookup waits
// for one.
type guesses struct {
	limit    limit.Limit
	interval time.Duration        // the emission interval: the time in which one guess comes back
	now      func() time.Duration // lookups.now

	mu      sync.Mutex
	budgets *simplelru.LRU[netip.Addr, *budget]
}

// budget is the state of one address.
type budget struct {
	fullAt   time.Duration // when the budget is full again: GCRA's theoretical arrival time
	reserved int
	waiting  []chan error // receive nil with a reserved guess, or a *GuessesSpent; oldest first
}

func newGuesses(l limit.Limit, now func() time.Duration) (*guesses, error) {
	budgets, err := simplelru.NewLRU[netip.Addr, *budget](maxClients, nil)
	return &guesses{limit: l, interval: l.Cost(1), now: now, budgets: budgets}, err
}

// check returns a *GuessesSpent if the client's budget is spent.
func (g *guesses) check(client netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b, ok := g.budgets.Get(client); ok {
		_, err := g.available(b)
		return err
	}
	return nil
}

// reserve sets a guess aside until the caller calls release. If all are reserved, it waits for its
// turn, at most queueWait. The error is a *GuessesSpent, errBusy or the context's cause.
func (g *guesses) reserve(ctx context.Context, client netip.Addr) (*budget, error) {
	b, turn, err := g.tryReserve(client)
	if turn == nil {
		return b, err
	}
	timeout := time.NewTimer(queueWait)
	defer timeout.Stop()
	select {
	case err := <-turn:
		return b, err
	case <-timeout.C:
		err = errBusy
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	g.abandon(b, turn)
	return nil, err
}

// tryReserve reserves a guess, or returns the channel on which to wait for one.
func (g *guesses) tryReserve(client netip.Addr) (b *budget, turn chan error, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.budgets.Get(client)
	if !ok {
		b = &budget{}
		g.budgets.Add(client, b)
	}
	g.wakeWaiting(b) // requests that wait come first
	available, err := g.available(b)
	switch {
	case err != nil:
		return nil, nil, err
	case available > 0:
		b.reserved++
		return b, nil, nil
	case len(b.waiting) >= maxWaiting:
		return nil, nil, errBusy
	}
	turn = make(chan error, 1)
	b.waiting = append(b.waiting, turn)
	return b, turn, nil
}

// abandon stops waiting on turn, and releases a guess that it has received meanwhile.
func (g *guesses) abandon(b *budget, turn chan error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(b.waiting, turn); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
		return
	}
	if <-turn == nil {
		b.reserved--
		g.wakeWaiting(b)
	}
}

// release ends a reservation, and charges the guess if it was spent.
func (g *guesses) release(b *budget, spent bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b.reserved--
	if spent {
		b.fullAt = max(b.fullAt, g.now()) + g.interval
	}
	g.wakeWaiting(b)
}

// wakeWaiting gives available guesses to waiting requests, or denies all if the budget is spent.
func (g *guesses) wakeWaiting(b *budget) {
	for len(b.waiting) > 0 {
		available, err := g.available(b)
		if err == nil && available == 0 {
			return
		}
		if err == nil {
			b.reserved++
		}
		b.waiting[0] <- err
		b.waiting = b.waiting[1:]
	}
	b.waiting = nil
}

// available returns how many guesses are unspent and not reserved, or a *GuessesSpent.
func (g *guesses) available(b *budget) (int, error) {
	reset := max(b.fullAt-g.now(), 0)
	unspent := time.Duration(g.limit.Burst)*g.interval - reset
	if unspent < g.interval {
		return 0, &GuessesSpent{Limit: g.limit, ResetAfter: reset, RetryAfter: g.interval - unspent}
	}
	return max(int(unspent/g.interval)-b.reserved, 0), nil
}

func (g *guesses) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.budgets.Len()
}

// ClientAddr returns the address that a client's budget belongs to: an IPv4 address, or the /64 of
// an IPv6 address. All clients whose address cannot be parsed share one budget.
func ClientAddr(client string) netip.Addr {
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return netip.Addr{}
	}
	addr = addr.Unmap()
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // also removes the zone
		addr = prefix.Addr()
	}
	return addr
}
