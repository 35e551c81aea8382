package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/ratelimit"
)

// Bucket is the state of one bucket, for people.
type Bucket struct {
	Name       string           `json:"name"`                // of the limit
	By         string           `json:"by"`                  // key, or workspace, whose keys share it
	Limit      string           `json:"limit"`               // that applies to the key, such as 600/1m burst 50
	Remaining  int              `json:"remaining"`           // requests that it admits now
	ResetAfter float64          `json:"reset_after_seconds"` // until it is full
	RetryAfter float64          `json:"retry_after_seconds"` // until it admits a request; 0 if it does now
	Source     ratelimit.Source `json:"source"`              // none: without Redis, on_error admits every request
}

// ErrNoLimits means that the running config has no redis_rate_limit.
var ErrNoLimits = errors.New("the running configuration has no redis_rate_limit, so no key has a bucket")

// Buckets returns the buckets that a key and its workspace have under the limits of the running
// config, by name. It charges nothing. Each takes at most the timeout of Redis. The error wraps
// [ratelimit.ErrUnavailable] if Redis does not decide and on_error is deny.
func (b *Backend) Buckets(ctx context.Context, key *apikey.Key) ([]Bucket, error) {
	return b.eachBucket(key, func(ratelimit.Request) error { return ctx.Err() })
}

// ResetBuckets makes the buckets of Buckets full, and returns them. Other edges may deny a key for
// another second. The error wraps [ratelimit.ErrUnavailable] if Redis does not decide; buckets of
// earlier names may then be full.
func (b *Backend) ResetBuckets(ctx context.Context, key *apikey.Key) ([]Bucket, error) {
	return b.eachBucket(key, func(r ratelimit.Request) error { return b.Limiter.Reset(ctx, r) })
}

func (b *Backend) eachBucket(key *apikey.Key, first func(ratelimit.Request) error) ([]Bucket, error) {
	limits := b.activeLimits()
	if len(limits) == 0 {
		return nil, ErrNoLimits
	}
	buckets := make([]Bucket, 0, len(limits))
	for _, l := range limits {
		if !l.OfOwner() {
			continue
		}
		request := l.OwnerRequest(key)
		if err := first(request); err != nil {
			return nil, fmt.Errorf("limit %s: %w", l.Name, err)
		}
		d, err := b.Limiter.Peek(context.Background(), request)
		if err != nil {
			return nil, fmt.Errorf("limit %s: %w", l.Name, err)
		}
		bucket := Bucket{Name: l.Name, By: l.By, Limit: request.Limit.String(), Remaining: d.Remaining,
			ResetAfter: d.ResetAfter.Seconds(), RetryAfter: d.RetryAfter.Seconds(), Source: d.Source}
		if !d.Evaluated {
			bucket.Remaining = request.Limit.Burst
		}
		buckets = append(buckets, bucket)
	}
	return buckets, nil
}

// activeLimits returns the limits of the newest config that runs on this backend.
func (b *Backend) activeLimits() []Limit {
	active.mu.RLock()
	defer active.mu.RUnlock()
	for _, l := range slices.Backward(active.leases) {
		if l.Backend == b {
			return l.limits
		}
	}
	return nil
}
