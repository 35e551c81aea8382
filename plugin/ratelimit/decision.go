package ratelimit

import (
	"math"
	"net/http"
	"strconv"
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
	FromNone   Source = "none"   // nobody: Redis is away and the request is let through
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

// headers are the names as net/http spells them.
var headers = [...]string{
	"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Ratelimit-Policy", "Ratelimit",
}

// SetHeaders sets X-RateLimit-Limit (requests that the bucket holds), -Remaining and -Reset (Unix seconds
// at which it is full again), and RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10)
// with name as the policy's, which must satisfy ValidateName. With no name it leaves those two out: a
// budget that is no policy, such as that of guesses, has none. If no limit was evaluated it sets nothing.
// Retry-After is the 429's own and not set here.
func (d Decision) SetHeaders(h http.Header, name string, now time.Time) {
	if !d.Evaluated {
		return
	}
	// One string holds all five values and one array all five slices: this runs for every request.
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

// appendItem writes an RFC 9651 item: a string with two integer parameters.
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
