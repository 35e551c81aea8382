// Package ratelimit says how often: GCRA on Redis's clock, one bucket a
// verified key, and what is done while Redis is away. See docs/limits.md.
package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"hoko.to/edge/plugin/limit"
)

// Defaults of Options.
const (
	DefaultPrefix  = "hoko:"
	DefaultTimeout = 50 * time.Millisecond
)

// maxSetBack is how far Redis's clock may be set back, as a small correction or a
// replica that takes over does, and an empty bucket's denials still be believed: they
// last so much longer. Beyond that the key is decided as if Redis were away, until
// the clock is where it was.
const maxSetBack = time.Second

// Options of a Limiter.
type Options struct {
	// URL says where Redis is, as go-redis reads it:
	//
	//	redis://user:password@host:6379/0            one Redis; rediss:// with TLS
	//	unix:///run/redis.sock?db=0                  one Redis, on a socket
	//	redis://a:6379,b:6379                        a Cluster (also ?addr=b:6379); with one
	//	                                             known address, name it twice
	//	redis://a:26379,b:26379/0?master_name=main   the master that Sentinels know
	//
	// go-redis's query parameters (pool_size, client_name, skip_verify, …) hold, but
	// timeouts and retries are Timeout's business.
	URL string

	// Prefix begins every Redis key, so that two sites may share a Redis. Default: "hoko:".
	Prefix string

	// Timeout bounds one question to Redis, with everything that it takes: the wait for the
	// questions before it, dial, handshake, write and read. Default: 50 ms.
	Timeout time.Duration

	Logger  *slog.Logger          // nil: silent
	Metrics prometheus.Registerer // nil: not registered

	dial func(ctx context.Context, network, addr string) (net.Conn, error) // tests in a synctest bubble
}

// OnError says what becomes of a request that Redis does not decide.
type OnError string

const (
	Local OnError = "local" // the same limit, counted by this process alone; the default
	Allow OnError = "allow" // let it through, unlimited
	Deny  OnError = "deny"  // refuse it: ErrUnavailable
)

// ParseOnError reads local, allow or deny.
func ParseOnError(s string) (OnError, error) {
	switch o := OnError(s); o {
	case Local, Allow, Deny:
		return o, nil
	}
	return "", fmt.Errorf("%q: want local, allow or deny", s)
}

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
	client  redis.UniversalClient
	redis   *redis_rate.Limiter
	prefix  string
	timeout time.Duration
	fleet   *fleet
	local   *local
	denials denials
	metrics *metrics
}

// New makes a Limiter. It dials nothing and starts nothing: Redis may be away. An
// error names what is wrong with the options, without any password of the URL.
func New(o Options) (*Limiter, error) {
	if o.Timeout < 0 {
		return nil, errors.New("redis timeout must be positive")
	}
	m := newMetrics()
	l := &Limiter{
		prefix:  cmp.Or(o.Prefix, DefaultPrefix),
		timeout: cmp.Or(o.Timeout, DefaultTimeout),
		local:   newLocal(),
		metrics: m,
	}
	l.fleet = newFleet(cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), m, l.local.drop)
	c := &connector{timeout: l.timeout, prefix: l.prefix, fleet: l.fleet, dial: o.dial}
	client, err := c.connect(o.URL)
	if err != nil {
		return nil, err
	}
	if err := m.register(o.Metrics); err != nil {
		client.Close()
		return nil, err
	}
	l.client, l.redis = client, redis_rate.NewLimiter(client)
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
	res, err := l.redis.Allow(until, b.key(l.prefix), limit)
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

func (l *Limiter) decideWithoutRedis(b bucket, otherwise OnError, cause error) (Decision, error) {
	if !errors.Is(cause, errOpen) {
		l.metrics.failed(cause)
	}
	switch otherwise {
	case Allow:
		d := Decision{Allowed: true, Source: FromNobody}
		l.metrics.decided(d)
		return d, nil
	case Deny:
		l.metrics.unavailable.Inc()
		return Decision{Source: FromNobody}, fmt.Errorf("%w: %s", ErrUnavailable, describe(cause))
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
	err := l.client.Close()
	l.fleet.wg.Wait()
	return err
}
