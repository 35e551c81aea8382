package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd is several clients of each edge that call without a pause, all with one
// key. It remembers every call with the present key.
type crowd struct {
	fleet *fleet
	group sync.WaitGroup
	news  chan struct{} // holds one token while somebody may have something new to see

	mu      sync.Mutex
	key     string
	calls   [][]call // by caller
	sold    int      // sales answered 201, with whichever key
	broken  error
	stopped bool
}

// call is one request as its client saw it.
type call struct {
	edge             int
	sent, answered   time.Time
	status           int
	limit, remaining string // X-RateLimit-*
}

func (c call) admitted() bool { return c.status == 200 || c.status == 201 }
func (c call) denied() bool   { return c.status == 429 }

func (c call) String() string {
	const clock = "15:04:05.000000"
	return fmt.Sprintf("%d by edge %d, sent %s, answered %s", c.status, c.edge, c.sent.Format(clock), c.answered.Format(clock))
}

// callersOfAnEdge are clients of both routes over both of TCP's protocols.
var callersOfAnEdge = []struct{ protocol, method, path, body string }{
	{"HTTP/1.1", "POST", "/api/track/sale", validSale},
	{"HTTP/2.0", "POST", "/api/track/sale", validSale},
	{"HTTP/1.1", "GET", "/api/links", ""},
	{"HTTP/2.0", "GET", "/api/links", ""},
}

// gather has a crowd begin, until stop or the end of the test.
func (f *fleet) gather(t testing.TB, key string) *crowd {
	t.Helper()
	c := &crowd{fleet: f, key: key, news: make(chan struct{}, 1), calls: make([][]call, len(f.edges)*len(callersOfAnEdge))}
	n := 0
	for edge, e := range f.edges {
		for _, as := range callersOfAnEdge {
			caller, client := n, e.client(t, as.protocol)
			request := func(key string) (*http.Request, error) {
				req, err := http.NewRequest(as.method, e.url(as.path), strings.NewReader(as.body))
				if err == nil {
					req.Header.Set("Authorization", "Bearer "+key)
				}
				return req, err
			}
			c.group.Go(func() { c.callOn(caller, edge, client, request) })
			n++
		}
	}
	t.Cleanup(func() { c.end() })
	return c
}

// callOn calls until the crowd stops, or something other than an answer comes.
func (c *crowd) callOn(caller, edge int, client *http.Client, request func(key string) (*http.Request, error)) {
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
		made := call{edge: edge, sent: time.Now()}
		res, err := client.Do(req)
		if err != nil {
			c.breakOff(err)
			return
		}
		made.answered, made.status = time.Now(), res.StatusCode
		made.limit, made.remaining = res.Header.Get("X-RateLimit-Limit"), res.Header.Get("X-RateLimit-Remaining")
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		c.record(caller, key, made)
	}
}

func (c *crowd) record(caller int, key string, made call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if made.status == http.StatusCreated {
		c.sold++
	}
	if key == c.key {
		c.calls[caller] = append(c.calls[caller], made)
	}
	c.wake()
}

func (c *crowd) breakOff(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = err
	c.wake()
}

func (c *crowd) wake() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// use has all go on with another key, and forgets the calls with the one before.
func (c *crowd) use(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key = key
	clear(c.calls)
}

// until waits for something about the calls, by caller, with the present key.
func (c *crowd) until(t testing.TB, what string, so func(calls [][]call) bool) {
	t.Helper()
	guard := time.After(hangGuard)
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

// untilEach waits until each caller's latest n calls were so.
func (c *crowd) untilEach(t testing.TB, what string, n int, so func(call) bool) {
	t.Helper()
	c.until(t, what, func(calls [][]call) bool {
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

func (c *crowd) last() (last []call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, own := range c.calls {
		if len(own) > 0 {
			last = append(last, own[len(own)-1])
		}
	}
	return last
}

// all are the calls with the present key, in no order.
func (c *crowd) all() (all []call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, own := range c.calls {
		all = append(all, own...)
	}
	return all
}

// of are the calls of one edge.
func of(edge int, calls []call) (own []call) {
	for _, one := range calls {
		if one.edge == edge {
			own = append(own, one)
		}
	}
	return own
}

func (c *crowd) end() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.group.Wait()
}

// stop ends the crowd, and checks that the table has the sales that it was told of, and no other.
func (c *crowd) stop(t testing.TB) {
	t.Helper()
	c.end()
	if c.broken != nil {
		t.Error(c.broken)
	}
	if sales := c.fleet.db.sales(); sales != c.sold {
		t.Errorf("%d sales in the table, %d were answered 201", sales, c.sold)
	}
}
