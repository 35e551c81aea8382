// Package ratelimit limits requests with GCRA (the generic cell rate algorithm) in Redis, on
// Redis's clock. A [Limiter] keeps one bucket for each combination of name, hash and limit, and
// shares it with all processes that use the same Redis and prefix. A circuit breaker for each Redis
// node keeps requests from waiting during an outage; [OnError] then decides. See docs/limits.md.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/ratelimit/shared"
	"hoko.to/edge/plugin/tracing"
)

// maxClockSetBack bounds how far Redis's clock may go back, for example by a correction or a
// failover. Within this bound, an empty bucket denies for that much longer. Beyond it, Redis's
// replies about that bucket are impossible, and its requests are decided without Redis.
const maxClockSetBack = time.Second

// ErrUnavailable is the error of Allow and Peek, wrapped, if Redis does not decide and OnError is
// Deny. It is that of Reset if Redis does not decide.
var ErrUnavailable = errors.New("rate limit unavailable")

// Request identifies a bucket to charge, its limit, and what to do if Redis does not decide.
type Request struct {
	Name    string      // the limit's name; see ValidateName
	Bucket  [32]byte    // a hash of the bucket's owner
	Group   [32]byte    // a hash of what all buckets of an AllowAll belong to; default: Bucket
	Limit   limit.Limit // must be valid; see limit.Limit.Validate
	Cost    int         // what the request takes from the bucket, up to Limit.Burst; default: 1
	OnError OnError     // default: Local
}

// Limiter limits requests. It is safe for concurrent use.
//
// A bucket's Redis key is rate:PREFIX + NAME:{BUCKET}:RATE/PERIOD/BURST, such as
// rate:hoko:default:{n4bQgYhMfWWaL-qgxVrQFQ}:600/1m0s/600, or …:100000/month for a quota. BUCKET is
// the first 16 bytes of Request.Bucket in base64url. If Request.Group differs, {GROUP}/BUCKET
// replaces {BUCKET}. The key expires when the bucket is full again, or the quota's period ends.
type Limiter struct {
	prefix   string
	timeout  time.Duration
	upstream *upstream
	calls    *shared.Calls[charge, reply]
	local    *local
	denials  denials
	metrics  *metrics
}

// New returns a Limiter, which connects to Redis at its first use. Call Close to release its
// connections. New returns an error, which contains no password, if an option is invalid.
func New(o Options) (*Limiter, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	l := &Limiter{prefix: o.Prefix, timeout: o.Timeout, local: newLocal(), metrics: newMetrics(o.Metrics)}
	l.calls = shared.NewCalls[charge, reply](o.Timeout / 4) // leaves time for the call itself
	l.upstream = newUpstream(o.Logger, l.metrics, l.local.reset)
	factory := &clientFactory{timeout: o.Timeout, prefix: o.Prefix, upstream: l.upstream, dial: o.dial}
	client, err := factory.newClient(o.URL)
	if err != nil {
		return nil, err
	}
	l.upstream.use(client)
	return l, nil
}

var (
	limitStep = tracing.Step("rate limit")
	redisCall = tracing.RedisCall("EVALSHA")
)

// Allow decides whether a request may pass, and if so, charges its bucket. It returns within
// Options.Timeout, and immediately while the node's breaker is open. It ignores the cancellation
// and the deadline of ctx, so that the bucket is charged even if the client has gone. Concurrent
// requests for the same bucket share calls to Redis, which change no decision. Allow returns an
// error that wraps ErrUnavailable, or that of [limit.Limit.Validate].
func (l *Limiter) Allow(ctx context.Context, r Request) (Decision, error) {
	return l.AllowAll(ctx, []Request{r})
}

// AllowAll is Allow for several buckets of one Group: it charges all of them or none. It returns
// ErrUnavailable if Redis does not decide and OnError of any is Deny. Without Redis, it applies
// only the limits whose OnError is Local.
func (l *Limiter) AllowAll(ctx context.Context, requests []Request) (d Decision, err error) {
	span := tracing.Of(ctx).Start(limitStep, time.Time{})
	d, err = l.allow(ctx, span, requests)
	span.SetString("hoko.limit", d.Name)
	span.SetString("hoko.limit_source", string(d.Source))
	span.SetBool("hoko.allowed", d.Allowed)
	errorType := ""
	if err != nil {
		errorType = "unavailable"
	}
	span.End(time.Time{}, errorType)
	return d, err
}

func (l *Limiter) allow(ctx context.Context, span tracing.Span, requests []Request) (Decision, error) {
	for i := range requests {
		if err := requests[i].Limit.Validate(); err != nil {
			return Decision{}, err
		}
	}
	if d, known := l.fromMemory(requests); known {
		return d, nil
	}
	charges := make([]charge, len(requests))
	for i := range requests {
		charges[i] = requests[i].charge()
	}
	results := make([]result, 4) // on the stack
	if len(charges) > len(results) {
		results = make([]result, len(charges))
	}
	results = results[:len(charges)]
	start := time.Now()
	decided, i, err := l.calls.Do(charges, func(requests int) (reply, error) {
		return l.takeFromRedis(ctx, charges, requests, start)
	})
	if !errors.Is(err, errOpen) {
		span.Start(redisCall, start).End(time.Time{}, errorType(err))
	}
	if err != nil {
		return l.decideWithoutRedis(requests, charges, err)
	}
	decided.results(i, charges, results)
	if i >= decided.admitted {
		l.denials.put(charges, results, start)
	}
	return l.decide(charges, results, FromRedis), nil
}

// fromMemory returns a denial, without an allocation if it is of a single limit.
func (l *Limiter) fromMemory(requests []Request) (d Decision, known bool) {
	if l.denials.size.Load() == 0 {
		return d, false
	}
	charges, results := make([]charge, 0, 4), make([]result, 4) // on the stack
	for i := range requests {
		charges = append(charges, requests[i].charge())
	}
	if len(results) < len(charges) {
		results = make([]result, len(charges))
	}
	if !l.denials.get(charges, results[:len(charges)]) {
		return d, false
	}
	return l.decide(charges, results, FromMemory), true
}

func (l *Limiter) decide(charges []charge, results []result, from Source) Decision {
	d := decisionOf(charges, results, from)
	l.metrics.countDecision(d)
	return d
}

// takeFromRedis decides some requests with the same charges: a single one for one bucket as
// redis_rate does.
func (l *Limiter) takeFromRedis(
	ctx context.Context, charges []charge, requests int, start time.Time,
) (r reply, err error) {
	asked := time.Now()
	if requests == 1 && len(charges) == 1 && charges[0].limit.Calendar == limit.None {
		r, err = l.callRedisRate(ctx, &charges[0], start)
	} else {
		r, err = l.callScript(ctx, charges, requests, start)
	}
	if !errors.Is(err, errOpen) {
		l.metrics.calls.Observe(time.Since(asked).Seconds())
	}
	return r, err
}

// decideWithoutRedis applies the limits whose OnError is Local, in this process.
func (l *Limiter) decideWithoutRedis(requests []Request, charges []charge, cause error) (Decision, error) {
	l.countFailure(cause)
	charges = slices.Clone(charges) // others share them
	kept := charges[:0]
	for i, r := range requests {
		switch r.OnError {
		case Deny:
			l.metrics.unavailable.Inc()
			return Decision{Source: FromNone, State: State{Name: r.Name}}, unavailable(cause)
		case Allow:
		default:
			kept = append(kept, charges[i])
		}
	}
	if len(kept) == 0 {
		d := Decision{Allowed: true, Source: FromNone, State: State{Name: requests[0].Name}}
		l.metrics.countDecision(d)
		return d, nil
	}
	results := make([]result, len(kept))
	l.local.take(kept, results)
	return l.decide(kept, results, FromLocal), nil
}

// countFailure counts a failed call, unless a breaker stopped it.
func (l *Limiter) countFailure(err error) {
	if !errors.Is(err, errOpen) {
		l.metrics.countFailure(err)
	}
}

// maxCheckTime bounds Check: probes that wait for it often time out after a second.
const maxCheckTime = 500 * time.Millisecond

// Check returns an error unless Redis, or any node of a Cluster, answers within Options.Timeout and
// 500 ms, and no breaker is open. It asks for the time, which the script needs as well, so that the
// user in Redis needs no further right.
func (l *Limiter) Check() error {
	for _, node := range l.upstream.stats() {
		if node.Open {
			return fmt.Errorf("check redis %s: %w", node.Node, errOpen)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(l.timeout, maxCheckTime))
	defer cancel()
	if err := l.upstream.client.Load().Time(ctx).Err(); err != nil {
		return fmt.Errorf("check redis: %s", describe(err))
	}
	return nil
}

// Stats is the state of a Limiter, for the admin API.
type Stats struct {
	Nodes             []NodeStats `json:"nodes"`
	Connections       ConnStats   `json:"connections"`
	RememberedDenials int         `json:"remembered_denials"` // may include expired ones
	LocalBuckets      int         `json:"local_buckets"`      // buckets counted without Redis
}

// Stats returns the state of the breakers, and how much is kept in memory.
func (l *Limiter) Stats() Stats {
	return Stats{l.upstream.stats(), l.connStats(), int(l.denials.size.Load()), l.local.len()}
}

// ConnStats describes the connections to Redis, of a Cluster to the nodes that it has now.
type ConnStats struct {
	Open     int    `json:"open"`
	Idle     int    `json:"idle"`
	Waits    uint64 `json:"waits"`    // calls that waited for a connection and got one
	Timeouts uint64 `json:"timeouts"` // calls that got no connection in time
}

func (l *Limiter) connStats() ConnStats {
	pool := l.upstream.client.Load().PoolStats()
	return ConnStats{int(pool.TotalConns), int(pool.IdleConns), uint64(pool.WaitCount), uint64(pool.Timeouts)}
}

// Close closes all connections and waits for the Limiter's goroutines. Requests in flight and later
// ones are decided without Redis.
func (l *Limiter) Close() error {
	l.upstream.stop()
	err := l.upstream.client.Load().Close()
	l.upstream.wg.Wait()
	return err
}

// detachedContext has the values of another context and its own deadline. It starts a timer only if
// Done or Err is called, which a call that shares a round trip does not do.
type detachedContext struct {
	context.Context
	deadline time.Time

	once   sync.Once
	timed  context.Context
	cancel context.CancelFunc
}

func (d *detachedContext) Deadline() (time.Time, bool) { return d.deadline, true }
func (d *detachedContext) Done() <-chan struct{}       { return d.start().Done() }
func (d *detachedContext) Err() error                  { return d.start().Err() }

func (d *detachedContext) start() context.Context {
	d.once.Do(func() { d.timed, d.cancel = context.WithDeadline(context.Background(), d.deadline) })
	return d.timed
}

// release cancels the context and stops its timer, if there is one.
func (d *detachedContext) release() {
	d.once.Do(func() { d.timed, d.cancel = canceled, func() {} })
	d.cancel()
}

var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
