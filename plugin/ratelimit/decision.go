package ratelimit

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/limit"
)

// Source is what decided a request: a label of hoko_ratelimit_decisions_total.
type Source string

const (
	FromRedis  Source = "redis"  // Redis, for this request
	FromMemory Source = "memory" // a denial by Redis that this process remembers
	FromLocal  Source = "local"  // this process's own bucket, without Redis
	FromNone   Source = "none"   // no limit: Redis does not decide, and OnError is Allow or Deny
)

// Decision is the result of Allow.
type Decision struct {
	// Allowed reports whether the request may pass.
	Allowed bool
	// Evaluated reports whether a limit was applied. If not, because Redis does not decide and
	// OnError is Allow, the fields below have no meaning.
	Evaluated bool

	Limit      limit.Limit
	Remaining  int           // requests that the bucket would still admit
	ResetAfter time.Duration // until the bucket is full again
	RetryAfter time.Duration // until a request may pass: whole seconds, at least one; 0 if Allowed
	Source     Source
}

// result is the outcome of GCRA, in Redis or in this process.
type result struct {
	allowed bool
	reset   time.Duration // until the bucket is full
	retry   time.Duration // until the next request is admitted; unset if allowed
}

func (r result) decision(l limit.Limit, from Source) Decision {
	d := Decision{Allowed: r.allowed, Evaluated: true, Limit: l, ResetAfter: max(0, r.reset), Source: from}
	if r.allowed {
		d.Remaining = remaining(l, d.ResetAfter)
	} else {
		d.RetryAfter = time.Duration(apierror.RetryAfter(r.retry)) * time.Second
	}
	return d
}

// remaining returns how many requests a bucket holds. The microsecond makes up for the rounding of
// Redis's doubles, without which a fresh bucket of 600 would have 598 left.
func remaining(l limit.Limit, reset time.Duration) int {
	held := math.Floor((float64(l.Fill()-reset) + float64(time.Microsecond)) / l.Interval())
	return int(max(0, min(held, float64(l.Burst))))
}

// headers are in net/http's canonical form.
var headers = [...]string{
	"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Ratelimit-Policy", "Ratelimit",
}

// SetHeaders sets X-RateLimit-Limit (the bucket's size in requests), X-RateLimit-Remaining and
// X-RateLimit-Reset (Unix seconds at which the bucket is full again). It also sets RateLimit-Policy
// and RateLimit (draft-ietf-httpapi-ratelimit-headers-10) with name as the policy's name, which
// must satisfy ValidateName. If name is empty, it omits these two. If Evaluated is false, it sets
// nothing. It never sets Retry-After.
func (d Decision) SetHeaders(h http.Header, name string, now time.Time) {
	if !d.Evaluated {
		return
	}
	// One string and one array hold all five values, to save allocations on every request.
	var buf [256]byte
	var ends [5]int
	b := strconv.AppendInt(buf[:0], int64(d.Limit.Burst), 10)
	ends[0] = len(b)
	b = strconv.AppendInt(b, int64(d.Remaining), 10)
	ends[1] = len(b)
	b = strconv.AppendInt(b, ceilUnix(now.Add(d.ResetAfter)), 10)
	ends[2] = len(b)
	fields := headers[:3]
	if name != "" {
		b = appendItem(b, name, ";q=", int64(d.Limit.Burst), ";w=", apierror.Seconds(d.Limit.Fill()))
		ends[3] = len(b)
		b = appendItem(b, name, ";r=", int64(d.Remaining), ";t=", apierror.Seconds(d.ResetAfter))
		ends[4] = len(b)
		fields = headers[:]
	}
	all, values, start := string(b), new([5]string), 0
	for i, key := range fields {
		values[i] = all[start:ends[i]]
		h[key] = values[i : i+1 : i+1]
		start = ends[i]
	}
}

// appendItem appends an item of RFC 9651: a string with two integer parameters.
func appendItem(b []byte, name, key1 string, n1 int64, key2 string, n2 int64) []byte {
	b = append(b, '"')
	b = append(b, name...)
	b = append(b, '"')
	b = append(b, key1...)
	b = strconv.AppendInt(b, n1, 10)
	b = append(b, key2...)
	return strconv.AppendInt(b, n2, 10)
}

func ceilUnix(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}
