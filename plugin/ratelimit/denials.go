package ratelimit

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// rememberFor bounds how long a denial is believed without asking Redis, and
	// so how long a limit that was raised or reset elsewhere can go unnoticed.
	rememberFor = time.Second

	// maxDenials bounds one generation. A denial beyond it is not remembered and costs a call.
	maxDenials = 1 << 16
)

// denials remembers which buckets may not pass yet, so that abuse costs no call
// to Redis. Nothing in it outlives rememberFor, so it keeps two generations and
// drops the older one whole: nothing is ever swept.
type denials struct {
	size atomic.Int64 // entries in both, so that nobody pays where nothing is denied

	mu         sync.Mutex
	young, old map[bucket]denial
	turned     time.Time // when young began
}

type denial struct {
	until    time.Time // believed until then
	retry    time.Time // admitted from then on
	restored time.Time // full from then on
}

// get answers from memory: the verdict, if the bucket is known to be empty.
func (d *denials) get(b bucket) (verdict, bool) {
	if d.size.Load() == 0 {
		return verdict{}, false
	}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn(now)
	known, ok := d.young[b]
	if !ok {
		known, ok = d.old[b]
	}
	if !ok || !now.Before(known.until) {
		return verdict{}, false
	}
	return verdict{reset: known.restored.Sub(now), retry: known.retry.Sub(now)}, true
}

// put remembers a denial that was just answered, and asked for at a moment before.
// From then on it is believed, as Redis may have decided at once: a bucket that
// may pass is not held up by the way that the answer took.
func (d *denials) put(b bucket, v verdict, asked time.Time) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn(now)
	if len(d.young) >= maxDenials {
		return
	}
	if d.young == nil {
		d.young = make(map[bucket]denial)
	}
	d.young[b] = denial{
		until:    asked.Add(min(v.retry, rememberFor)),
		retry:    now.Add(v.retry),
		restored: now.Add(v.reset),
	}
	d.size.Store(int64(len(d.young) + len(d.old)))
}

// turn begins a new generation where the young one has had its time. The caller holds the lock.
func (d *denials) turn(now time.Time) {
	age := now.Sub(d.turned)
	if age < rememberFor {
		return
	}
	d.old, d.young = d.young, nil
	if age >= 2*rememberFor {
		d.old = nil
	}
	d.turned = now
	d.size.Store(int64(len(d.old)))
}
