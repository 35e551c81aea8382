package ratelimit

import (
	"maps"
	"slices"
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
	current, previous map[charge]*denial
	rotated           time.Time
}

// denial is what a bucket denied, and with it all buckets that were asked together.
type denial struct {
	expires time.Time // not used from then on
	charges []charge
	states  []deniedState
}

type deniedState struct {
	retry time.Time // when the bucket admits a request; zero if it did
	full  time.Time // when the bucket is full, or the quota's next period begins
	used  int       // of the quota
}

// get reports whether one of the buckets is known to deny what a request takes. The results of
// others are unknown, unless the same buckets were asked together.
func (d *denials) get(charges []charge, results []result) bool {
	if d.size.Load() == 0 {
		return false
	}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rotate(now)
	for i := range charges {
		known, ok := d.current[charges[i]]
		if !ok {
			known, ok = d.previous[charges[i]]
		}
		if ok && now.Before(known.expires) {
			known.results(now, charges, results)
			return true
		}
	}
	return false
}

// results stores the results for a later request.
func (d *denial) results(now time.Time, charges []charge, results []result) {
	for i := range charges {
		j := i
		if !slices.Equal(d.charges, charges) {
			j = slices.Index(d.charges, charges[i])
		}
		if results[i] = (result{unknown: true}); j >= 0 {
			state := &d.states[j]
			results[i] = result{used: state.used, reset: state.full.Sub(now), retry: max(0, state.retry.Sub(now))}
		}
		results[i].allowed = results[i].retry == 0
	}
}

// put remembers what has denied a request. It expires as if Redis had decided when the call
// started, so that a slow reply does not delay the next request that may pass.
func (d *denials) put(charges []charge, results []result, started time.Time) {
	now := time.Now()
	states := make([]deniedState, len(results))
	for i, res := range results {
		states[i] = deniedState{full: now.Add(res.reset), used: res.used}
		if !res.allowed {
			states[i].retry = now.Add(res.retry)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rotate(now)
	for i, res := range results {
		if res.allowed || len(d.current) >= maxDenials {
			continue
		}
		if d.current == nil {
			d.current = make(map[charge]*denial)
		}
		d.current[charges[i]] = &denial{started.Add(min(res.retry, denialTTL)), charges, states}
	}
	d.size.Store(int64(len(d.current) + len(d.previous)))
}

// remove forgets the denials of a bucket.
func (d *denials) remove(b bucket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ofBucket := func(c charge, _ *denial) bool { return c.bucket == b }
	maps.DeleteFunc(d.current, ofBucket)
	maps.DeleteFunc(d.previous, ofBucket)
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
