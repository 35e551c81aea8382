package harness

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Crowd is several clients of each edge that call without a pause, all with one
// key. It remembers every call with the present key.
type Crowd struct {
	fleet *Fleet
	group sync.WaitGroup
	news  chan struct{} // holds one token while somebody may have something new to see

	mu      sync.Mutex
	key     string
	calls   [][]Call // by caller
	sold    int      // sales answered 201, with whichever key
	broken  error
	stopped bool
}

// Call is one request as its client saw it.
type Call struct {
	edge             int
	Sent, Answered   time.Time
	Status           int
	Limit, Remaining string // X-RateLimit-*
}

// Admitted reports whether the key was good for the call.
func (c Call) Admitted() bool { return c.Status == 200 || c.Status == 201 }

// Denied reports whether the limit did not admit the call.
func (c Call) Denied() bool { return c.Status == 429 }

func (c Call) String() string {
	const clock = "15:04:05.000000"
	return fmt.Sprintf("%d by edge %d, sent %s, answered %s", c.Status, c.edge, c.Sent.Format(clock), c.Answered.Format(clock))
}

// callersOfAnEdge are clients of both routes over both of TCP's protocols.
var callersOfAnEdge = []struct{ protocol, method, path, body string }{
	{"HTTP/1.1", "POST", "/api/track/sale", ValidSale},
	{"HTTP/2.0", "POST", "/api/track/sale", ValidSale},
	{"HTTP/1.1", "GET", "/api/links", ""},
	{"HTTP/2.0", "GET", "/api/links", ""},
}

// Gather has a crowd begin, until stop or the end of the test.
func (f *Fleet) Gather(t testing.TB, key string) *Crowd {
	t.Helper()
	c := &Crowd{fleet: f, key: key, news: make(chan struct{}, 1), calls: make([][]Call, len(f.Edges)*len(callersOfAnEdge))}
	n := 0
	for edge, e := range f.Edges {
		for _, as := range callersOfAnEdge {
			caller, client := n, e.Client(t, as.protocol)
			request := func(key string) (*http.Request, error) {
				req, err := http.NewRequest(as.method, e.URL(as.path), strings.NewReader(as.body))
				if err == nil {
					req.Header.Set("Authorization", "Bearer "+key)
				}
				return req, err
			}
			c.group.Go(func() { c.callOn(caller, edge, client, request) })
			n++
		}
	}
	t.Cleanup(func() { c.End() })
	return c
}

// callOn calls until the crowd stops, or something other than an answer comes.
func (c *Crowd) callOn(caller, edge int, client *http.Client, request func(key string) (*http.Request, error)) {
	for {
		c.mu.Lock()
		key, over := c.key, c.stopped || c.broken != nil
		c.mu.Unlock()
		if over {
			return
		}
		req, err := request(key)
		if err != nil {
			c.breakOff(err)
			return
		}
		made := Call{edge: edge, Sent: time.Now()}
		res, err := client.Do(req)
		if err != nil {
			c.breakOff(err)
			return
		}
		made.Answered, made.Status = time.Now(), res.StatusCode
		made.Limit, made.Remaining = res.Header.Get("X-RateLimit-Limit"), res.Header.Get("X-RateLimit-Remaining")
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		c.record(caller, key, made)
	}
}

func (c *Crowd) record(caller int, key string, made Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if made.Status == http.StatusCreated {
		c.sold++
	}
	if key == c.key {
		c.calls[caller] = append(c.calls[caller], made)
	}
	c.wake()
}

func (c *Crowd) breakOff(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = err
	c.wake()
}

func (c *Crowd) wake() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// Use has all go on with another key, and forgets the calls with the one before.
func (c *Crowd) Use(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key = key
	clear(c.calls)
}

// Until waits for something about the calls, by caller, with the present key.
func (c *Crowd) Until(t testing.TB, what string, so func(calls [][]Call) bool) {
	t.Helper()
	guard := time.After(HangGuard)
	for {
		c.mu.Lock()
		is, broken := so(c.calls), c.broken
		c.mu.Unlock()
		if broken != nil {
			t.Fatalf("waiting until %s: %v", what, broken)
		}
		if is {
			return
		}
		select {
		case <-c.news:
		case <-guard:
			t.Fatalf("waited in vain until %s; the last calls were %v", what, c.last())
		}
	}
}

// UntilEach waits until each caller's latest n calls were so.
func (c *Crowd) UntilEach(t testing.TB, what string, n int, so func(Call) bool) {
	t.Helper()
	c.Until(t, what, func(calls [][]Call) bool {
		for _, own := range calls {
			if len(own) < n {
				return false
			}
			for _, one := range own[len(own)-n:] {
				if !so(one) {
					return false
				}
			}
		}
		return true
	})
}

func (c *Crowd) last() (last []Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, own := range c.calls {
		if len(own) > 0 {
			last = append(last, own[len(own)-1])
		}
	}
	return last
}

// All returns the calls with the present key, in no order.
func (c *Crowd) All() (all []Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, own := range c.calls {
		all = append(all, own...)
	}
	return all
}

// CallsOf returns the calls of one edge.
func CallsOf(edge int, calls []Call) (own []Call) {
	for _, one := range calls {
		if one.edge == edge {
			own = append(own, one)
		}
	}
	return own
}

// End ends the crowd.
func (c *Crowd) End() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.group.Wait()
}

// Stop ends the crowd, and checks that the table has the sales that it was told of, and no other.
func (c *Crowd) Stop(t testing.TB) {
	t.Helper()
	c.End()
	if c.broken != nil {
		t.Error(c.broken)
	}
	if sales := c.fleet.DB.Sales(); sales != c.sold {
		t.Errorf("%d sales in the table, %d were answered 201", sales, c.sold)
	}
}
