// Package ratelimit limits requests with GCRA (the generic cell rate algorithm) in Redis, on
// Redis's clock. A [Limiter] keeps one bucket for each combination of name, hash and limit, and
// shares it with all processes that use the same Redis and prefix. A circuit breaker for each Redis
// node keeps requests from waiting during an outage; [OnError] then decides. See docs/limits.md.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"hoko.to/edge/plugin/limit"
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
	Limit   limit.Limit // must be valid; see limit.Limit.Validate
	OnError OnError     // default: Local
}

// Limiter limits requests. It is safe for concurrent use.
//
// A bucket's Redis key is rate:PREFIX + NAME:{BUCKET}:RATE/PERIOD/BURST, such as
// rate:hoko:default:{n4bQgYhMfWWaL-qgxVrQFQ}:600/1m0s/600. BUCKET is the first 16 bytes of
// Request.Bucket in base64url. The key expires when the bucket is full again.
type Limiter struct {
	prefix   string
	timeout  time.Duration
	upstream *upstream
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
// and the deadline of ctx, so that the bucket is charged even if the client has gone. Allow returns
// an error that wraps ErrUnavailable, or that of [limit.Limit.Validate].
func (l *Limiter) Allow(ctx context.Context, r Request) (d Decision, err error) {
	span := tracing.Of(ctx).Start(limitStep, time.Time{})
	d, err = l.allow(ctx, span, r)
	span.SetString("hoko.limit", r.Name)
	span.SetString("hoko.limit_source", string(d.Source))
	span.SetBool("hoko.allowed", d.Allowed)
	errorType := ""
	if err != nil {
		errorType = "unavailable"
	}
	span.End(time.Time{}, errorType)
	return d, err
}

func (l *Limiter) allow(ctx context.Context, span tracing.Span, r Request) (Decision, error) {
	if err := r.Limit.Validate(); err != nil {
		return Decision{}, err
	}
	b := bucket{r.Name, r.Bucket, r.Limit}
	if res, ok := l.denials.get(b); ok {
		return l.decide(res, r.Limit, FromMemory), nil
	}
	start := time.Now()
	res, err := l.takeFromRedis(ctx, b, start)
	if !errors.Is(err, errOpen) {
		end := time.Now()
		l.metrics.calls.Observe(end.Sub(start).Seconds())
		span.Start(redisCall, start).End(end, errorType(err))
	}
	if err != nil {
		return l.decideWithoutRedis(b, r.OnError, err)
	}
	if !res.allowed {
		l.denials.put(b, res, start)
	}
	return l.decide(res, r.Limit, FromRedis), nil
}

func (l *Limiter) decide(res result, limit limit.Limit, from Source) Decision {
	d := res.decision(limit, from)
	l.metrics.countDecision(d)
	return d
}

func (l *Limiter) takeFromRedis(ctx context.Context, b bucket, start time.Time) (result, error) {
	bounded := &detachedContext{Context: ctx, deadline: start.Add(l.timeout)}
	defer bounded.release()
	limit := redis_rate.Limit{Rate: b.limit.Rate, Burst: b.limit.Burst, Period: b.limit.Period}
	used := l.upstream.client.Load()
	res, err := used.limiter.Allow(bounded, b.key(l.prefix), limit)
	if c := l.upstream.client.Load(); err != nil && c != used { // switchToCluster has replaced it
		res, err = c.limiter.Allow(bounded, b.key(l.prefix), limit)
	}
	if err != nil {
		return result{}, err
	}
	return newResult(res, b.limit)
}

// newResult converts a reply. It returns an error if the limit cannot lead to that reply, because
// another program wrote the key or Redis's clock was set back: such a reply could deny forever.
func newResult(reply *redis_rate.Result, limit limit.Limit) (result, error) {
	res := result{allowed: reply.Allowed == 1, reset: reply.ResetAfter, retry: reply.RetryAfter}
	possible := (res.allowed || reply.Allowed == 0 && res.retry > 0) &&
		res.reset > 0 && max(res.reset, res.retry) <= limit.Fill()+maxClockSetBack
	if !possible {
		return result{}, errReply
	}
	return res, nil
}

// isScriptReply reports whether a reply has the types that redis_rate asserts without checking.
func isScriptReply(cmd redis.Cmder) bool {
	reply, ok := cmd.(*redis.Cmd)
	if !ok {
		return false
	}
	values, ok := reply.Val().([]any)
	if !ok || len(values) != 4 {
		return false
	}
	for i, v := range values {
		_, isInt := v.(int64)
		_, isString := v.(string)
		if isInt != (i < 2) || isString != (i >= 2) {
			return false
		}
	}
	return true
}

func (l *Limiter) decideWithoutRedis(b bucket, onError OnError, cause error) (Decision, error) {
	l.countFailure(cause)
	switch onError {
	case Allow:
		d := Decision{Allowed: true, Source: FromNone}
		l.metrics.countDecision(d)
		return d, nil
	case Deny:
		l.metrics.unavailable.Inc()
		return Decision{Source: FromNone}, unavailable(cause)
	}
	return l.decide(l.local.take(b), b.limit, FromLocal), nil
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
