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

// Crowd is a set of clients of each edge that call without a pause, all with the same key. It
// records every call with the current key.
type Crowd struct {
	fleet   *Fleet
	group   sync.WaitGroup
	changed chan struct{} // signals a new call or a failure

	mu      sync.Mutex
	key     string
	calls   [][]Call // indexed by caller
	sold    int      // sales answered 201, with any key
	failure error
	stopped bool
}

// Call is one request as its client saw it.
type Call struct {
	edge             int
	Sent, Answered   time.Time
	Status           int
	Limit, Remaining string // X-RateLimit-*
}

// Admitted reports whether the call was authenticated and within its limit.
func (c Call) Admitted() bool { return c.Status == 200 || c.Status == 201 }

// Denied reports whether the rate limit denied the call.
func (c Call) Denied() bool { return c.Status == 429 }

// String returns the call's status, edge and times.
func (c Call) String() string {
	const clock = "15:04:05.000000"
	return fmt.Sprintf("%d by edge %d, sent %s, answered %s",
		c.Status, c.edge, c.Sent.Format(clock), c.Answered.Format(clock))
}

// callersOfAnEdge lists the clients of each edge: both routes over HTTP/1.1 and HTTP/2.
var callersOfAnEdge = []struct{ protocol, method, path, body string }{
	{"HTTP/1.1", "POST", "/api/track/sale", ValidSale},
	{"HTTP/2.0", "POST", "/api/track/sale", ValidSale},
	{"HTTP/1.1", "GET", "/api/links", ""},
	{"HTTP/2.0", "GET", "/api/links", ""},
}

// StartCrowd starts a crowd that calls until Stop or the end of the test.
func (f *Fleet) StartCrowd(t testing.TB, key string) *Crowd {
	t.Helper()
	calls := make([][]Call, len(f.Edges)*len(callersOfAnEdge))
	c := &Crowd{fleet: f, key: key, changed: make(chan struct{}, 1), calls: calls}
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
			c.group.Go(func() { c.callUntilStopped(caller, edge, client, request) })
			n++
		}
	}
	t.Cleanup(func() { c.Stop() })
	return c
}

// callUntilStopped calls until the crowd stops or a request fails.
func (c *Crowd) callUntilStopped(caller, edge int, client *http.Client, request func(string) (*http.Request, error)) {
	for {
		c.mu.Lock()
		key, over := c.key, c.stopped || c.failure != nil
		c.mu.Unlock()
		if over {
			return
		}
		req, err := request(key)
		if err != nil {
			c.fail(err)
			return
		}
		made := Call{edge: edge, Sent: time.Now()}
		res, err := client.Do(req)
		if err != nil {
			c.fail(err)
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

func (c *Crowd) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = err
	c.wake()
}

func (c *Crowd) wake() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// SwitchKey makes all clients use another key and forgets the calls with the previous one.
func (c *Crowd) SwitchKey(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key = key
	clear(c.calls)
}

// Until waits until holds returns true for the calls with the current key, indexed by caller.
func (c *Crowd) Until(t testing.TB, what string, holds func(calls [][]Call) bool) {
	t.Helper()
	guard := time.After(HangGuard)
	for {
		c.mu.Lock()
		ok, failure := holds(c.calls), c.failure
		c.mu.Unlock()
		if failure != nil {
			t.Fatalf("while waiting until %s: %v", what, failure)
		}
		if ok {
			return
		}
		select {
		case <-c.changed:
		case <-guard:
			t.Fatalf("timed out waiting until %s; the last calls were %v", what, c.last())
		}
	}
}

// UntilEach waits until holds returns true for each of every caller's last n calls.
func (c *Crowd) UntilEach(t testing.TB, what string, n int, holds func(Call) bool) {
	t.Helper()
	c.Until(t, what, func(calls [][]Call) bool {
		for _, own := range calls {
			if len(own) < n {
				return false
			}
			for _, one := range own[len(own)-n:] {
				if !holds(one) {
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

// All returns the calls with the current key, in no particular order.
func (c *Crowd) All() (all []Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, own := range c.calls {
		all = append(all, own...)
	}
	return all
}

// CallsOf returns the calls that were sent to one edge.
func CallsOf(edge int, calls []Call) (own []Call) {
	for _, one := range calls {
		if one.edge == edge {
			own = append(own, one)
		}
	}
	return own
}

// Stop ends the crowd and waits for its clients.
func (c *Crowd) Stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.group.Wait()
}

// StopAndVerify ends the crowd and checks that exactly the sales answered 201 are recorded.
func (c *Crowd) StopAndVerify(t testing.TB) {
	t.Helper()
	c.Stop()
	if c.failure != nil {
		t.Error(c.failure)
	}
	if sales := c.fleet.DB.Sales(); sales != c.sold {
		t.Errorf("%d sales in the table, %d were answered 201", sales, c.sold)
	}
}
