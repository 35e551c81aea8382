package ratelimit

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// maxLocalBuckets bounds the memory that an outage of Redis costs to about 20 MB. Beyond it, the
// least recently used bucket is evicted, and starts full if it is used again.
const maxLocalBuckets = 1 << 16

// local applies limits in this process while Redis does not decide.
type local struct {
	mu      sync.Mutex
	buckets *simplelru.LRU[bucket, *rate.Limiter]
}

func newLocal() *local {
	buckets, err := simplelru.NewLRU[bucket, *rate.Limiter](maxLocalBuckets, nil)
	if err != nil {
		panic(err) // unreachable: the size is positive
	}
	return &local{buckets: buckets}
}

// take decides one request, and charges its bucket if it may pass.
func (l *local) take(b bucket) result {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.buckets.Get(b)
	if !ok {
		limiter = rate.NewLimiter(rate.Limit(float64(b.limit.Rate)/b.limit.Period.Seconds()), b.limit.Burst)
		l.buckets.Add(b, limiter)
	}
	now := time.Now()
	allowed := limiter.AllowN(now, 1)
	return b.localResult(allowed, limiter.TokensAt(now))
}

// peek returns what take would decide, and charges nothing. The result's reset is that of now.
func (l *local) peek(b bucket) result {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.buckets.Peek(b)
	if !ok {
		return result{allowed: true}
	}
	tokens := limiter.TokensAt(time.Now())
	wait := (1 - tokens) * b.limit.Interval()
	return b.localResult(wait < 1, tokens) // rate.Limiter also admits what is less than 1 ns early
}

func (b *bucket) localResult(allowed bool, tokens float64) result {
	res := result{allowed: allowed, reset: b.limit.Cost(float64(b.limit.Burst) - tokens)}
	if !allowed {
		res.retry = b.limit.Cost(1 - tokens)
	}
	return res
}

// remove drops a bucket, which starts full if it is used again.
func (l *local) remove(b bucket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buckets.Remove(b)
}

// reset drops all buckets, because Redis decides again.
func (l *local) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buckets.Purge()
}

func (l *local) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buckets.Len()
}
