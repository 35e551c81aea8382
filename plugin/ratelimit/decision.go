package ratelimit

import (
	"math"
	"time"

	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/limit"
)

// Source says who decided.
type Source string

const (
	FromRedis  Source = "redis"  // Redis, asked for this request
	FromMemory Source = "memory" // Redis, a moment ago: a denial that still holds
	FromLocal  Source = "local"  // this process alone, Redis being away
	FromNobody Source = "none"   // nobody: Redis is away and the request is let through
)

// Decision is the answer to one request.
type Decision struct {
	// Allowed says whether the request may pass.
	Allowed bool
	// Evaluated says whether a limit was looked at. Where it is false (Redis is
	// away and the limit says Allow), what follows means nothing.
	Evaluated bool

	Limit      limit.Limit
	Remaining  int           // requests that would pass if they came now
	ResetAfter time.Duration // until the bucket is full again
	RetryAfter time.Duration // 0 where allowed; else in whole seconds, rounded up, at least one: whoever waits that long is admitted
	Source     Source
}

// verdict is what GCRA says, wherever it runs.
type verdict struct {
	allowed bool
	reset   time.Duration // until the bucket is full
	retry   time.Duration // until the next request is admitted, if this one is not
}

func (v verdict) decision(l limit.Limit, from Source) Decision {
	d := Decision{Allowed: v.allowed, Evaluated: true, Limit: l, ResetAfter: max(0, v.reset), Source: from}
	if v.allowed {
		d.Remaining = remaining(l, d.ResetAfter)
	} else {
		d.RetryAfter = time.Duration(apierror.RetryAfter(v.retry)) * time.Second
	}
	return d
}

// remaining counts the requests that a bucket still holds. The microsecond is
// what Redis's doubles may be off: without it a fresh bucket of 600 says 598.
func remaining(l limit.Limit, reset time.Duration) int {
	held := math.Floor((float64(l.Fill()-reset) + float64(time.Microsecond)) / l.Interval())
	return int(max(0, min(held, float64(l.Burst))))
}
