package ledger

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"time"
)

// patience is the time after which a client hangs up. It is longer than the edges' sale timeout.
const patience = 10 * time.Second

type flight struct {
	*clients
	sale     *sale
	edge     *edge
	protocol string
	hangsUp  time.Duration // time until the client hangs up; 0 for never
	pause    time.Duration // in the middle of the body
}

// flight prepares the next attempt with random choices of edge, protocol and pauses.
func (c *client) flight(s *sale) *flight {
	f := &flight{
		clients:  c.clients,
		sale:     s,
		edge:     c.edges[c.rand.IntN(len(c.edges))],
		protocol: []string{"HTTP/1.1", "HTTP/2.0"}[c.rand.IntN(2)],
		hangsUp:  patience,
	}
	if c.rand.IntN(100) == 0 {
		f.hangsUp = time.Duration(c.rand.IntN(20)) * time.Millisecond
	}
	if c.slow.Load() {
		f.pause = time.Duration(c.rand.IntN(1500)) * time.Millisecond // body_timeout is 1s
	}
	return f
}

func (f *flight) run() {
	ctx, cancel := context.WithTimeout(context.Background(), f.hangsUp)
	defer cancel()
	defer f.flights.enter(cancel)()
	sent, body := f.sale.begin(f.edge.name, f.protocol)
	res, text, err := f.do(ctx, body)
	f.sale.end(sent, func(a *attempt) {
		if err != nil {
			a.err, a.unsent = err, isUnsent(err)
			return
		}
		a.status, a.body = res.StatusCode, string(text)
		a.saleID, a.attribution = res.Header.Get("Hoko-Sale-Id"), res.Header.Get("Hoko-Attribution")
		a.replied = res.Header.Get("Idempotency-Replayed") == "true"
		if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
			a.wait = time.Duration(seconds) * time.Second
		}
	})
	if sent.recorded() {
		f.recorded.Add(1)
	}
}

func (f *flight) do(ctx context.Context, body string) (*http.Response, []byte, error) {
	var sent sync.Once
	trace := &httptrace.ClientTrace{WroteHeaders: func() { sent.Do(func() { f.edge.inFlight.Add(1) }) }}
	defer func() {
		landed := true
		sent.Do(func() { landed = false })
		if landed {
			f.edge.inFlight.Add(-1)
		}
	}()
	// The transport can read the body only once, so it never resends the request by itself.
	once := io.NopCloser(&slowBody{ctx: ctx, rest: bytes.NewReader([]byte(body)), half: len(body) / 2, pause: f.pause})
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), "POST",
		f.edge.URL("/api/track/sale"), once)
	if err != nil {
		return nil, nil, err
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Authorization", "Bearer "+f.sale.workspace.apiKey)
	if f.sale.key != "" {
		req.Header.Set("Idempotency-Key", f.sale.key)
	}
	res, err := f.edge.clients[f.protocol].Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, text, err
}

// isUnsent reports whether err occurred before a connection existed.
func isUnsent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// slowBody is a body that pauses halfway.
type slowBody struct {
	ctx   context.Context
	rest  *bytes.Reader
	half  int
	pause time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.pause == 0 {
		return b.rest.Read(p)
	}
	if b.half > 0 {
		n, err := b.rest.Read(p[:min(len(p), b.half)])
		b.half -= n
		return n, err
	}
	timer := time.NewTimer(b.pause)
	defer timer.Stop()
	b.pause = 0
	select {
	case <-timer.C:
		return b.rest.Read(p)
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

type flights struct {
	mu     sync.Mutex
	next   int
	cancel map[int]context.CancelFunc
}

func (f *flights) enter(cancel context.CancelFunc) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancel == nil {
		f.cancel = map[int]context.CancelFunc{}
	}
	f.next++
	id := f.next
	f.cancel[id] = cancel
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.cancel, id)
	}
}

// hangUp cancels about half of the flights, and at least one.
func (f *flights) hangUp(r *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hungUp bool
	for _, cancel := range f.cancel {
		if !hungUp || r.IntN(2) == 0 {
			cancel()
			hungUp = true
		}
	}
}
