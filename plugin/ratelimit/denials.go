package ratelimit

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// denialTTL bounds how long a denial is used without asking Redis, and so how long it takes to
	// notice a bucket that was deleted in Redis.
	denialTTL = time.Second

	// maxDenials bounds one generation. Further denials are not remembered.
	maxDenials = 1 << 16
)

// denials remembers which buckets deny, so that abuse costs no call to Redis. No entry is used
// longer than denialTTL, so it keeps two generations and drops the older one as a whole.
type denials struct {
	size atomic.Int64 // entries in both generations; at 0, get needs no lock

	mu                sync.Mutex
	current, previous map[bucket]denial
	rotated           time.Time
}

type denial struct {
	expires time.Time // not used from then on
	retry   time.Time // when the bucket admits a request
	full    time.Time // when the bucket is full
}

// get returns a remembered denial of the bucket, if there is one.
func (d *denials) get(b bucket) (result, bool) {
	if d.size.Load() == 0 {
		return result{}, false
	}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rotate(now)
	known, ok := d.current[b]
	if !ok {
		known, ok = d.previous[b]
	}
	if !ok || !now.Before(known.expires) {
		return result{}, false
	}
	return result{reset: known.full.Sub(now), retry: known.retry.Sub(now)}, true
}

// put remembers a denial. It expires as if Redis had decided when the call started, so that a slow
// reply does not delay the next request that may pass.
func (d *denials) put(b bucket, res result, started time.Time) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rotate(now)
	if len(d.current) >= maxDenials {
		return
	}
	if d.current == nil {
		d.current = make(map[bucket]denial)
	}
	d.current[b] = denial{
		expires: started.Add(min(res.retry, denialTTL)),
		retry:   now.Add(res.retry),
		full:    now.Add(res.reset),
	}
	d.size.Store(int64(len(d.current) + len(d.previous)))
}

// remove forgets the denial of a bucket, if there is one.
func (d *denials) remove(b bucket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.current, b)
	delete(d.previous, b)
	d.size.Store(int64(len(d.current) + len(d.previous)))
}

// rotate starts a new generation if the current one is older than denialTTL. The caller holds mu.
func (d *denials) rotate(now time.Time) {
	age := now.Sub(d.rotated)
	if age < denialTTL {
		return
	}
	d.previous, d.current = d.current, nil
	if age >= 2*denialTTL {
		d.previous = nil
	}
	d.rotated = now
	d.size.Store(int64(len(d.previous)))
}
