// Package ratelimit limits requests by GCRA in Redis, on Redis's clock. A [Limiter] has one bucket
// for each name, hash and limit, and shares it with all processes that use the same Redis and
// prefix. If Redis does not answer, [OnError] decides. docs/limits.md describes the behavior.
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
)

// maxSetBack is how far Redis's clock may be set back, as a small correction or a replica that
// takes over does, and an empty bucket's denials still be believed: they last so much longer.
// Beyond that the key is decided as if Redis were away, until the clock is where it was.
const maxSetBack = time.Second

// ErrUnavailable means that Redis is away, and that the limit refuses requests then.
var ErrUnavailable = errors.New("rate limit unavailable")

// Request asks for one request's worth of a bucket.
type Request struct {
	Name    string   // which limit; ValidateName says what it may be
	Bucket  [32]byte // whose: a hash
	Limit   limit.Limit
	OnError OnError
}

// Limiter decides. It is safe for concurrent use.
//
// A bucket's Redis key is rate:PREFIX + NAME:{BUCKET}:RATE/PERIOD/BURST, such as
// rate:hoko:default:{n4bQgYhMfWWaL-qgxVrQFQ}:600/1m0s/600; BUCKET is the first 16 bytes of
// the Request's, in base64url. It expires when the bucket is full again.
type Limiter struct {
	prefix  string
	timeout time.Duration
	fleet   *fleet
	local   *local
	denials denials
	metrics *metrics
}

// New returns a Limiter. It dials nothing and starts nothing: Redis may be away. An error names what is
// wrong with the options, without any password of the URL.
func New(o Options) (*Limiter, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	l := &Limiter{prefix: o.Prefix, timeout: o.Timeout, local: newLocal()}
	l.fleet = newFleet(o.Logger, l.local.drop)
	c := &connector{timeout: o.Timeout, prefix: o.Prefix, fleet: l.fleet, dial: o.dial}
	client, err := c.connect(o.URL)
	if err != nil {
		return nil, err
	}
	l.fleet.use(client)
	l.metrics = newMetrics(o.Metrics) // the last: what failed leaves nothing registered
	l.fleet.metrics = l.metrics
	return l, nil
}

// Allow decides one request, and charges it where it is allowed. It returns within
// the timeout, and at once where Redis is known to be away. The context's values are
// kept, but not its end: the bucket is charged whether or not the client waits.
// Errors: ErrUnavailable, or what Limit.Validate says.
func (l *Limiter) Allow(ctx context.Context, r Request) (Decision, error) {
	if err := r.Limit.Validate(); err != nil {
		return Decision{}, err
	}
	b := bucket{r.Name, r.Bucket, r.Limit}
	if v, ok := l.denials.get(b); ok {
		return l.decide(v, r.Limit, FromMemory), nil
	}
	asked := time.Now()
	v, err := l.ask(ctx, b, asked)
	if err != nil {
		return l.decideWithoutRedis(b, r.OnError, err)
	}
	if !v.allowed {
		l.denials.put(b, v, asked)
	}
	return l.decide(v, r.Limit, FromRedis), nil
}

func (l *Limiter) decide(v verdict, limit limit.Limit, from Source) Decision {
	d := v.decision(limit, from)
	l.metrics.decided(d)
	return d
}

// ask has Redis decide, from now on.
func (l *Limiter) ask(ctx context.Context, b bucket, now time.Time) (verdict, error) {
	until := &bounded{Context: ctx, deadline: now.Add(l.timeout)}
	defer until.release()
	limit := redis_rate.Limit{Rate: b.limit.Rate, Burst: b.limit.Burst, Period: b.limit.Period}
	asked := l.fleet.link.Load()
	res, err := asked.rate.Allow(until, b.key(l.prefix), limit)
	if now := l.fleet.link.Load(); err != nil && now != asked { // it was a node of a Cluster
		res, err = now.rate.Allow(until, b.key(l.prefix), limit)
	}
	if err != nil {
		return verdict{}, err
	}
	return verdictOf(res, b.limit)
}

// verdictOf reads an answer. One that the limit never leads to is an error: somebody
// wrote a number of his own into the key, or Redis's clock was set back. Believed, it
// could deny for as long as it says, and that may be for ever.
func verdictOf(res *redis_rate.Result, limit limit.Limit) (verdict, error) {
	v := verdict{allowed: res.Allowed == 1, reset: res.ResetAfter, retry: res.RetryAfter}
	possible := (v.allowed || res.Allowed == 0 && v.retry > 0) &&
		v.reset > 0 && max(v.reset, v.retry) <= limit.Fill()+maxSetBack
	if !possible {
		return verdict{}, errAnswer
	}
	return v, nil
}

// isScriptAnswer says whether a reply has the shape that redis_rate takes for granted.
func isScriptAnswer(cmd redis.Cmder) bool {
	reply, ok := cmd.(*redis.Cmd)
	if !ok {
		return false
	}
	values, ok := reply.Val().([]any)
	if !ok || len(values) != 4 {
		return false
	}
	for i, v := range values {
		switch v.(type) {
		case int64:
			ok = i < 2
		case string:
			ok = i >= 2
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return true
}

func (l *Limiter) decideWithoutRedis(b bucket, otherwise OnError, cause error) (Decision, error) {
	if !errors.Is(cause, errOpen) {
		l.metrics.failed(cause)
	}
	switch otherwise {
	case Allow:
		d := Decision{Allowed: true, Source: FromNone}
		l.metrics.decided(d)
		return d, nil
	case Deny:
		l.metrics.unavailable.Inc()
		return Decision{Source: FromNone}, fmt.Errorf("%w: %s", ErrUnavailable, describe(cause))
	}
	return l.decide(l.local.take(b), b.limit, FromLocal), nil
}

// Stats is the limiter's state, for an admin's eyes.
type Stats struct {
	Nodes             []NodeStats `json:"nodes"`
	RememberedDenials int         `json:"remembered_denials"` // at most; some may have expired
	LocalBuckets      int         `json:"local_buckets"`      // counted here while Redis is away
}

// Stats reports the state of breakers and fallbacks.
func (l *Limiter) Stats() Stats {
	return Stats{l.fleet.stats(), int(l.denials.size.Load()), l.local.len()}
}

// Close closes all connections and waits for the limiter's goroutines. Whatever is
// still asked is decided as if Redis were away.
func (l *Limiter) Close() error {
	l.fleet.stop()
	err := l.fleet.link.Load().client.Close()
	l.fleet.wg.Wait()
	return err
}

// bounded is a context with another's values and an end of its own. It starts a timer only when
// somebody waits for that end, and a call that shares a round trip does not.
type bounded struct {
	context.Context // its values
	deadline        time.Time

	once   sync.Once
	timed  context.Context
	cancel context.CancelFunc
}

func (b *bounded) Deadline() (time.Time, bool) { return b.deadline, true }
func (b *bounded) Done() <-chan struct{}       { return b.start().Done() }
func (b *bounded) Err() error                  { return b.start().Err() }

func (b *bounded) start() context.Context {
	b.once.Do(func() { b.timed, b.cancel = context.WithDeadline(context.Background(), b.deadline) })
	return b.timed
}

// release ends the context, and its timer where there is one.
func (b *bounded) release() {
	b.once.Do(func() { b.timed, b.cancel = released, func() {} })
	b.cancel()
}

var released = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
