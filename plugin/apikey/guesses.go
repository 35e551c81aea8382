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
	// guessers is how many client addresses are remembered.
	guessers = 65_536
	// maxWaiting bounds the requests of one address that wait for its other lookups.
	maxWaiting = 4096
)

// GuessesSpent is a 429: the client's address spent its budget of lookups that found nothing, and the
// key is not one that the edge knows.
type GuessesSpent struct {
	// Limit is the budget.
	Limit limit.Limit
	// ResetAfter is the time until the budget is full again, RetryAfter the time until it holds one guess.
	ResetAfter, RetryAfter time.Duration
}

func (g *GuessesSpent) Error() string {
	return fmt.Sprintf("the client's address spent its budget of guesses: retry after %s", g.RetryAfter)
}

// guesses gives each client address a budget of lookups that find nothing, by GCRA in process. Only
// those cost. A lookup holds one guess of the budget while it runs, so that concurrent ones cannot
// overspend it, and pays or gives it back when it ends. What is held is not spent: if others hold all
// that is left, a lookup waits for them.
type guesses struct {
	limit    limit.Limit
	interval time.Duration        // emission interval: one guess comes back in it
	now      func() time.Duration // of the lookups' clock

	mu      sync.Mutex
	budgets *simplelru.LRU[netip.Addr, *budget]
}

// budget is that of one address; full is the theoretical arrival time of GCRA: when, on the lookups'
// clock, the whole budget is back.
type budget struct {
	full    time.Duration
	held    int
	waiting []chan error // get nil with a guess to hold, or the denial; the oldest first
}

func newGuesses(l limit.Limit, now func() time.Duration) (*guesses, error) {
	budgets, err := simplelru.NewLRU[netip.Addr, *budget](guessers, nil)
	return &guesses{limit: l, interval: l.Cost(1), now: now, budgets: budgets}, err
}

// check rejects an address whose budget is spent.
func (g *guesses) check(client netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b, ok := g.budgets.Get(client); ok {
		_, err := g.left(b)
		return err
	}
	return nil
}

// hold sets one guess aside, which the caller must end. While others hold all that are left it waits,
// in turn and for at most queueWait. The error is a *GuessesSpent, errBusy or the context's.
func (g *guesses) hold(ctx context.Context, client netip.Addr) (*budget, error) {
	b, turn, err := g.queue(client)
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
	g.leave(b, turn)
	return nil, err
}

// queue holds a guess immediately, or returns where the caller learns that its turn has come.
func (g *guesses) queue(client netip.Addr) (b *budget, turn chan error, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.budgets.Get(client)
	if !ok {
		b = &budget{}
		g.budgets.Add(client, b)
	}
	g.serve(b) // what has come back meanwhile belongs to those that wait
	left, err := g.left(b)
	switch {
	case err != nil:
		return nil, nil, err
	case left > 0:
		b.held++
		return b, nil, nil
	case len(b.waiting) >= maxWaiting:
		return nil, nil, errBusy
	}
	turn = make(chan error, 1)
	b.waiting = append(b.waiting, turn)
	return b, turn, nil
}

// leave gives up a turn, and what it may have brought meanwhile.
func (g *guesses) leave(b *budget, turn chan error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(b.waiting, turn); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
		return
	}
	if <-turn == nil {
		b.held--
		g.serve(b)
	}
}

// end pays for what was held if it was a guess, and else gives it back.
func (g *guesses) end(b *budget, guessed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b.held--
	if guessed {
		b.full = max(b.full, g.now()) + g.interval
	}
	g.serve(b)
}

// serve hands what is left to those that wait, and denies them once the budget is spent.
func (g *guesses) serve(b *budget) {
	for len(b.waiting) > 0 {
		left, err := g.left(b)
		if err == nil && left == 0 {
			return
		}
		if err == nil {
			b.held++
		}
		b.waiting[0] <- err
		b.waiting = b.waiting[1:]
	}
	b.waiting = nil
}

// left returns how many guesses are neither spent nor held. The error is a *GuessesSpent if what is
// spent leaves none.
func (g *guesses) left(b *budget) (int, error) {
	reset := max(b.full-g.now(), 0)
	room := time.Duration(g.limit.Burst)*g.interval - reset
	if room < g.interval {
		return 0, &GuessesSpent{Limit: g.limit, ResetAfter: reset, RetryAfter: g.interval - room}
	}
	return max(int(room/g.interval)-b.held, 0), nil
}

func (g *guesses) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.budgets.Len()
}

// clientAddr is the address that a client answers for: all of an IPv6 /64 is
// one client's to use. Whatever is no address shares one budget.
func clientAddr(client string) netip.Addr {
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return netip.Addr{}
	}
	addr = addr.Unmap()
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // which has no zone
		addr = prefix.Addr()
	}
	return addr
}
