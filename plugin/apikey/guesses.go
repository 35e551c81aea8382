package apikey

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"hoko.to/edge/plugin/limit"
)

// guessers is how many client addresses are remembered.
const guessers = 65_536

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
// those cost: a lookup holds one guess of the budget while it runs, so that concurrent ones cannot
// overspend it, and pays or gives it back when it ends.
type guesses struct {
	limit    limit.Limit
	interval time.Duration // emission interval: one guess comes back in it

	mu      sync.Mutex
	budgets *simplelru.LRU[netip.Addr, *budget]
}

// budget is that of one address; full is the theoretical arrival time of GCRA: when, on the lookups'
// clock, the whole budget is back.
type budget struct {
	full time.Duration
	held int
}

func newGuesses(l limit.Limit) (*guesses, error) {
	budgets, err := simplelru.NewLRU[netip.Addr, *budget](guessers, nil)
	return &guesses{limit: l, interval: l.Cost(1), budgets: budgets}, err
}

// check rejects an address whose budget is spent.
func (g *guesses) check(client netip.Addr, now time.Duration) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b, ok := g.budgets.Get(client); ok {
		return g.spent(b, now)
	}
	return nil
}

// hold sets one guess aside, which the caller must end.
func (g *guesses) hold(client netip.Addr, now time.Duration) (*budget, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.budgets.Get(client)
	if !ok {
		b = &budget{}
		g.budgets.Add(client, b)
	}
	if err := g.spent(b, now); err != nil {
		return nil, err
	}
	b.held++
	return b, nil
}

// end pays for what was held if it was a guess, and else gives it back.
func (g *guesses) end(b *budget, guessed bool, now time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b.held--
	if guessed {
		b.full = max(b.full, now) + g.interval
	}
}

// spent says how long to wait where the budget does not hold one guess more.
func (g *guesses) spent(b *budget, now time.Duration) error {
	reset := max(b.full-now, 0) + time.Duration(b.held)*g.interval
	retry := reset - time.Duration(g.limit.Burst-1)*g.interval
	if retry <= 0 {
		return nil
	}
	return &GuessesSpent{Limit: g.limit, ResetAfter: reset, RetryAfter: retry}
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
