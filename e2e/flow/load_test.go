package flow

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
)

type answer struct {
	edge   int
	status int // 0 without an answer
	at     time.Time
	took   time.Duration
	retry  string // Retry-After
}

// load is a group of clients that send sales until they are stopped, and the answers they got.
type load struct {
	shop    *shop
	clients []*http.Client // by edge
	stop    chan struct{}
	group   sync.WaitGroup

	mu      sync.Mutex
	answers []answer
}

func (s *shop) load() *load {
	l := &load{shop: s, stop: make(chan struct{})}
	for _, e := range s.edges {
		transport := &http.Transport{TLSClientConfig: e.TLS(s.t),
			TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}, MaxIdleConnsPerHost: 4096}
		s.t.Cleanup(transport.CloseIdleConnections)
		l.clients = append(l.clients, &http.Client{Transport: transport, Timeout: harness.HangGuard})
	}
	s.t.Cleanup(l.end)
	return l
}

// end stops the clients and waits for their last answers.
func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.group.Wait()
}

// startNormal starts clients and returns their throughput before anything fails.
func (s *shop) startNormal(clients int) (*load, stats) {
	l := s.load()
	l.keepBusy(clients, s.ofAll)
	l.measure(2 * time.Second)
	return l, l.measure(3 * time.Second)
}

type request struct {
	edge           int
	workspace      string
	customer, name string
	key            string
}

func (l *load) send(r request) {
	body := fmt.Sprintf(`{"customerExternalId":%q,"customerName":%q,"clickId":"click_%s","amount":100,`+
		`"currency":"usd","eventName":"Purchase"}`, r.customer, r.name, r.workspace)
	req, err := http.NewRequestWithContext(context.Background(), "POST", l.shop.edges[r.edge].URL("/api/track/sale"),
		strings.NewReader(body))
	if err != nil {
		l.shop.t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer hoko_flow_key_of_"+r.workspace)
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	start := time.Now()
	got := answer{edge: r.edge}
	if res, err := l.clients[r.edge].Do(req); err == nil {
		got.status, got.retry = res.StatusCode, res.Header.Get("Retry-After")
		if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode == 400 {
			l.shop.t.Errorf("%v %s", err, text)
		}
		res.Body.Close()
	}
	got.at = time.Now()
	got.took = got.at.Sub(start)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, got)
}

// keepBusy starts clients. Each sends the sales that next returns, one at a time.
func (l *load) keepBusy(clients int, next func(client, n int) request) {
	for client := range clients {
		l.group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					return
				default:
					l.send(next(client, n))
				}
			}
		})
	}
}

// arrive sends requests at a fixed rate for a duration, however slowly they are answered.
func (l *load) arrive(perSecond int, during time.Duration, next func(n int) []request) {
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	end := time.After(during)
	for n := 0; ; n++ {
		for _, r := range next(n) {
			l.group.Go(func() { l.send(r) })
		}
		select {
		case <-l.stop:
			return
		case <-end:
			return
		case <-ticker.C:
		}
	}
}

// ofAll spreads clients over edges and workspaces. Each sells to ten customers without changing
// them.
func (s *shop) ofAll(client, n int) request {
	return request{
		edge:      client % len(s.edges),
		workspace: workspace(1 + client%(workspaces-1)),
		customer:  fmt.Sprintf("c%d-%d", client, n%10),
		name:      "Ada",
	}
}

// stats sums up the answers of a period.
type stats struct {
	during   time.Duration
	statuses map[int]int
	latency  []time.Duration // of 201s
}

// between returns the stats of the answers that arrived in a period.
func (l *load) between(from, to time.Time) stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := stats{during: to.Sub(from), statuses: map[int]int{}}
	for _, a := range l.answers {
		if a.at.Before(from) || !a.at.Before(to) {
			continue
		}
		f.statuses[a.status]++
		if a.status == 201 {
			f.latency = append(f.latency, a.took)
		}
	}
	slices.Sort(f.latency)
	return f
}

func (l *load) slower(than time.Duration) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.answers {
		if a.took > than {
			n++
		}
	}
	return n
}

func (l *load) measure(d time.Duration) stats {
	from := time.Now()
	<-time.After(d)
	return l.between(from, from.Add(d))
}

func (f stats) rate() float64 { return float64(f.statuses[201]) / f.during.Seconds() }

func (f stats) p99() time.Duration {
	if len(f.latency) == 0 {
		return 0
	}
	return f.latency[len(f.latency)*99/100]
}

func (f stats) all() (n int) {
	for _, count := range f.statuses {
		n += count
	}
	return n
}

func (f stats) String() string {
	return fmt.Sprintf("%.0f sales/s, p99 %v, answers %v", f.rate(), f.p99().Round(time.Millisecond), f.statuses)
}

// wantAtLeast fails the test if the throughput has fallen below a share of what it was before.
func wantAtLeast(t *testing.T, what string, got, before stats, share float64) {
	t.Helper()
	t.Logf("%s: %v; before: %v", what, got, before)
	if got.rate() < share*before.rate() {
		t.Errorf("%s: %.2f of the throughput before, want at least %.2f", what, got.rate()/before.rate(), share)
	}
}
