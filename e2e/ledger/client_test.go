package ledger

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"hoko.to/edge/e2e/harness"
)

const (
	clientCount   = 16
	scarceClients = 2 // of clientCount; their workspace has a low rate limit
	crowd         = 160
)

// clients send sales and keep the journal.
type clients struct {
	edges    []*edge
	flights  flights
	slow     atomic.Bool  // bodies are sent slowly
	held     atomic.Bool  // new sales are held back; retries are not
	recorded atomic.Int64 // 201 answers
	fresh    atomic.Int64 // counts new customers, with two sales each on average
	stopping chan struct{}
	joined   int         // clients added by join so far
	lost     atomic.Bool // the run has failed; clients give up
	group    sync.WaitGroup

	mu    sync.Mutex
	sales []*sale // the journal
}

// client sends one sale at a time, each until its outcome is known.
type client struct {
	*clients
	name      string
	orders    string // prefix of its idempotency keys
	workspace *workspace
	rand      *rand.Rand
	count     int
	gone      chan struct{} // closed when it must leave; nil if it stays
}

func startClients(edges []*edge, seed uint64) *clients {
	clients := &clients{edges: edges, stopping: make(chan struct{})}
	for i := range clientCount {
		c := &client{clients: clients, name: fmt.Sprint("c", i), orders: fmt.Sprint("order ", i),
			workspace: workspaces[0], rand: rand.New(rand.NewPCG(seed, uint64(i)+1))}
		if i < scarceClients {
			c.workspace, c.orders = workspaces[1], fmt.Sprint("order ", i+scarceClients) // keys of the other one too
		}
		clients.group.Go(c.run)
	}
	return clients
}

// join adds clients, which stop when leave is called.
func (c *clients) join(count int, workspace *workspace, seed uint64) (leave func()) {
	gone := make(chan struct{})
	for i := range count {
		c.joined++
		name := fmt.Sprint("crowd", c.joined)
		member := &client{clients: c, name: name, orders: name, workspace: workspace,
			rand: rand.New(rand.NewPCG(seed, uint64(i))), gone: gone}
		c.group.Go(member.run)
	}
	return func() { close(gone) }
}

// stop ends the clients and returns the journal, once no sale with a key has an unknown outcome.
func (c *clients) stop() []*sale {
	if !c.hasStopped() {
		close(c.stopping)
	}
	c.group.Wait()
	return c.sales
}

func (c *clients) hasStopped() bool { return isClosed(c.stopping) }

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (c *client) run() {
	for !c.hasStopped() && !isClosed(c.gone) {
		if !c.held.Load() {
			s := c.compose()
			c.pursue(s)
			c.reuseKey(s)
		}
		c.pause(time.Duration(c.rand.IntN(40)) * time.Millisecond)
	}
}

func (c *client) compose() *sale {
	s := c.newSale()
	switch n := c.rand.IntN(100); {
	case n < 35:
		s.customer, s.version = hotCustomer(c.rand.IntN(hotCustomers)), fmt.Sprint("v", c.rand.IntN(8))
		s.source = c.randomSource(s.customer)
	case n < 65:
		s.customer, s.version = steadyCustomer(c.rand.IntN(steadyCustomers)), seededVersion
		s.source = c.randomSource(s.customer)
	case n < 90:
		s.customer, s.version = fmt.Sprint("fresh-", c.fresh.Add(1)/2), fmt.Sprint("v", c.rand.IntN(3))
		s.source = []source{c.workspace.byClick(), c.workspace.byMissingLead()}[c.rand.IntN(2)]
	case n < 95:
		s.fate, s.customer, s.version = unattributed, "ghost-"+s.id, seededVersion
		s.source.click = []string{"", "unknown_click", c.workspace.other().click("ad")}[c.rand.IntN(3)]
	default:
		s.fate, s.customer, s.version = malformed, "ghost-"+s.id, "v1"
		s.source = c.workspace.byClick()
	}
	if c.rand.IntN(4) > 0 {
		s.key = fmt.Sprintf("%s/%d", c.orders, c.count)
	}
	c.enter(s)
	return s
}

func (c *client) newSale() *sale {
	c.count++
	return &sale{
		id:        fmt.Sprintf("%s-%d", c.name, c.count),
		workspace: c.workspace,
		amount:    c.rand.Int64N(1_000_000),
		currency:  []string{"usd", "eur", "sar"}[c.rand.IntN(3)],
		event:     []string{"Purchase", "Renewal"}[c.rand.IntN(2)],
	}
}

// randomSource returns one of the sources of a sale to a customer that has leads.
func (c *client) randomSource(customer string) source {
	return []source{c.workspace.byClick(), c.workspace.byMissingLead(), c.workspace.byLead(customer),
		c.workspace.byLatestLead(customer)}[c.rand.IntN(4)]
}

func (c *clients) enter(s *sale) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sales = append(c.sales, s)
}

// pursue sends a sale until its outcome is known, or the client gives up on one that is not
// recorded. Without an idempotency key it resends the sale only if it certainly was not recorded.
func (c *client) pursue(s *sale) {
	for guard := time.Now().Add(3 * harness.HangGuard); time.Now().Before(guard) && !c.lost.Load(); {
		if s.key != "" && s.fate == toBeRecorded && c.rand.IntN(10) == 0 {
			c.sendTwice(s)
		} else {
			c.send(s)
		}
		mayGiveUp := s.fate != toBeRecorded || !s.mayExist()
		switch {
		case s.resolved(), s.key == "" && s.mayExist():
			return
		case mayGiveUp && (c.hasStopped() || c.rand.IntN(4) == 0):
			return
		}
		c.pause(s.pauseAfter(c.rand))
	}
}

func (c *client) sendTwice(s *sale) {
	var both sync.WaitGroup
	for range 2 {
		f := c.flight(s)
		both.Go(f.run)
	}
	both.Wait()
}

func (c *client) send(s *sale) { c.flight(s).run() }

// reuseKey sometimes sends the idempotency key of a recorded sale again: with the same sale, which
// is a replay, or with another one, which is a mismatch.
func (c *client) reuseKey(s *sale) {
	if s.key == "" || len(s.answers()) == 0 {
		return
	}
	switch n := c.rand.IntN(100); {
	case n < 10:
		c.send(s)
	case n < 15:
		other := c.newSale()
		other.fate, other.key, other.customer, other.version, other.source = mismatched, s.key, s.customer,
			s.version, s.source
		c.enter(other)
		c.pursue(other)
	}
}

// pauseAfter returns the Retry-After if the last answer was a 429, else a random short pause.
func (s *sale) pauseAfter(r *rand.Rand) time.Duration {
	tries := s.tries()
	if last := tries[len(tries)-1]; last.status == http.StatusTooManyRequests {
		return last.wait
	}
	return time.Duration(20+r.IntN(60*min(len(tries), 5))) * time.Millisecond
}

// pause waits. It ends early when the clients stop.
func (c *client) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.stopping:
		time.Sleep(min(d, 50*time.Millisecond))
	}
}

// replay resends a sample of the sales that were recorded with an idempotency key.
func (c *clients) replay(sales []*sale, count int, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1000))
	client := &client{clients: c, name: "replays", rand: r}
	for _, i := range r.Perm(len(sales)) {
		s := sales[i]
		if s.key == "" || len(s.answers()) == 0 {
			continue
		}
		client.workspace = s.workspace
		client.send(s)
		if count--; count == 0 {
			return
		}
	}
}
