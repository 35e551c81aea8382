package ratelimit

import (
	"math"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"hoko.to/edge/plugin/limit"
)

// maxLocalBuckets bounds the memory that an outage of Redis costs to about 20 MB. Beyond it, the
// least recently used bucket is evicted, and starts full if it is used again.
const maxLocalBuckets = 1 << 16

// local applies limits in this process while Redis does not decide.
type local struct {
	mu      sync.Mutex
	buckets *simplelru.LRU[bucket, *localBucket]
}

// localBucket is the state of a bucket at a time.
type localBucket struct {
	at   time.Time
	debt float64 // nanoseconds until the bucket is full; a fraction matters after many requests

	used int       // of a quota
	ends time.Time // of the quota's period
}

func newLocal() *local {
	buckets, err := simplelru.NewLRU[bucket, *localBucket](maxLocalBuckets, nil)
	if err != nil {
		panic(err) // unreachable: the size is positive
	}
	return &local{buckets: buckets}
}

// take decides a request, and charges all buckets if it may pass.
func (l *local) take(charges []charge, results []result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	r := reply{1, make([]before, len(charges))}
	buckets := make([]*localBucket, len(charges))
	for i := range charges {
		c := &charges[i]
		b, ok := l.buckets.Get(c.bucket)
		if !ok {
			b = new(localBucket)
			l.buckets.Add(c.bucket, b)
		}
		b.advance(now, c.limit)
		if !b.admits(c) {
			r.admitted = 0
		}
		buckets[i], r.before[i] = b, b.before()
	}
	if r.admitted > 0 {
		for i, b := range buckets {
			b.charge(&charges[i])
		}
	}
	r.results(0, charges, results)
}

// peek returns what a request of cost 1 would get, and charges nothing.
func (l *local) peek(b bucket) result {
	l.mu.Lock()
	defer l.mu.Unlock()
	var state localBucket
	if stored, ok := l.buckets.Peek(b); ok {
		state = *stored
	}
	charges, results := []charge{{b, 1}}, make([]result, 1)
	state.advance(time.Now(), b.limit)
	r := reply{0, []before{state.before()}}
	if state.admits(&charges[0]) {
		r.admitted = 1
	}
	r.peek(charges, results)
	return results[0]
}

// advance lets time pass. A clock that is set back into the period before does not begin a new one.
func (b *localBucket) advance(now time.Time, l limit.Limit) {
	if l.Calendar == limit.None {
		if !b.at.IsZero() {
			b.debt = max(0, b.debt-float64(now.Sub(b.at))) // by the monotonic clock
		}
		b.at = now
		return
	}
	b.at = now
	_, ends := l.Calendar.Bounds(now)
	if !now.Before(b.ends) {
		b.used = 0
	} else if _, following := l.Calendar.Bounds(ends); !b.ends.After(following) {
		return
	}
	b.ends = ends
}

// admits reports whether a request may pass. What is less than a microsecond early is not early, as
// in Redis.
func (b *localBucket) admits(c *charge) bool {
	if c.limit.Calendar != limit.None {
		return b.used+c.cost <= c.limit.Burst
	}
	return b.debt+float64(c.cost-c.limit.Burst)*c.limit.Interval() <= float64(time.Microsecond)
}

func (b *localBucket) charge(c *charge) {
	if c.limit.Calendar != limit.None {
		b.used += c.cost
		return
	}
	b.debt += float64(c.cost) * c.limit.Interval()
}

func (b *localBucket) before() before {
	if !b.ends.IsZero() {
		return before{used: b.used, reset: b.ends.Sub(b.at)}
	}
	return before{reset: time.Duration(math.Ceil(b.debt))}
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
