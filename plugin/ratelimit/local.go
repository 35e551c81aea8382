package ratelimit

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// maxLocalBuckets bounds what an outage of Redis may cost in memory, some 20 MB.
// The least recently used bucket goes first, and comes back full.
const maxLocalBuckets = 1 << 16

// local is the same limit in this process, for as long as Redis is away.
type local struct {
	mu      sync.Mutex
	buckets *simplelru.LRU[bucket, *rate.Limiter]
}

func newLocal() *local {
	buckets, err := simplelru.NewLRU[bucket, *rate.Limiter](maxLocalBuckets, nil)
	if err != nil {
		panic(err) // the size is not positive
	}
	return &local{buckets: buckets}
}

// take asks for one request.
func (l *local) take(b bucket) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	held, ok := l.buckets.Get(b)
	if !ok {
		held = rate.NewLimiter(rate.Limit(float64(b.limit.Rate)/b.limit.Period.Seconds()), b.limit.Burst)
		l.buckets.Add(b, held)
	}
	now := time.Now()
	allowed := held.AllowN(now, 1)
	tokens := held.TokensAt(now)
	v := verdict{allowed: allowed, reset: b.limit.Cost(float64(b.limit.Burst) - tokens)}
	if !allowed {
		v.retry = b.limit.Cost(1 - tokens)
	}
	return v
}

// drop forgets all buckets: Redis counts again.
func (l *local) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buckets.Purge()
}

func (l *local) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buckets.Len()
}
