package ratelimit

import (
	"cmp"
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

// Decision is the result of Allow and AllowAll.
type Decision struct {
	// Allowed reports whether the request may pass.
	Allowed bool
	// Evaluated reports whether a limit was applied. If not, because Redis does not decide and
	// OnError is Allow, State has no meaning.
	Evaluated bool
	Source    Source

	State         // of the tightest limit
	All   []State // of each limit that was applied, in order; nil if there is only one
}

// State is the state of a limit's bucket after a decision.
type State struct {
	Name       string
	Limit      limit.Limit
	Remaining  int           // what the bucket would still admit, in units of Cost 1
	ResetAfter time.Duration // until the bucket is full again, or the quota's next period begins
	RetryAfter time.Duration // until a request may pass: whole seconds, at least one; 0 if Allowed
}

// And returns the decision about a request that two calls have decided, d first.
func (d Decision) And(next Decision) Decision {
	if !next.Evaluated {
		if d.Source = cmp.Or(d.Source, next.Source); !next.Allowed {
			d.Allowed, d.Source, d.Name = false, next.Source, next.Name
		}
		return d
	}
	for _, s := range next.states() {
		d = d.and(next.Allowed || s.RetryAfter == 0, s, next.Source)
	}
	return d
}

func (d *Decision) states() []State {
	if d.All != nil {
		return d.All
	}
	return []State{d.State}
}

// result is the outcome for one bucket, in Redis or in this process. A request is admitted only if
// all its buckets allow it.
type result struct {
	allowed bool
	reset   time.Duration // until the bucket is full, or the quota's next period begins
	retry   time.Duration // until the next request is admitted; 0 if allowed
	used    int           // of a quota
	unknown bool          // not in memory, so not part of the Decision
}

// decisionOf returns the decision about a request with these results.
func decisionOf(charges []charge, results []result, from Source) Decision {
	d := Decision{Allowed: true, Source: from}
	for i := range charges {
		if !results[i].unknown {
			d = d.and(results[i].allowed, results[i].state(&charges[i]), from)
		}
	}
	return d
}

func (r *result) state(c *charge) State {
	s := State{Name: c.name, Limit: c.limit, ResetAfter: max(0, r.reset)}
	switch {
	case c.limit.Calendar != limit.None:
		s.Remaining = max(0, c.limit.Burst-r.used)
	case r.allowed:
		s.Remaining = remaining(c.limit, s.ResetAfter)
	default:
		s.Remaining = min(remaining(c.limit, s.ResetAfter), c.cost-1)
	}
	if !r.allowed {
		s.RetryAfter = time.Duration(apierror.RetryAfter(r.retry)) * time.Second
	}
	return s
}

// and adds the state of another limit.
func (d Decision) and(allowed bool, s State, from Source) Decision {
	switch {
	case !d.Evaluated:
		d.State, d.Source, d.Evaluated = s, from, true
	case d.All == nil:
		d.All = []State{d.State, s}
	default:
		d.All = append(d.All[:len(d.All):len(d.All)], s)
	}
	if d.Allowed && !allowed || d.Allowed == allowed && s.tighter(&d.State) {
		d.State, d.Source = s, from
	}
	d.Allowed = d.Allowed && allowed
	return d
}

// tighter reports whether a limit keeps clients waiting longer or, if neither does, admits less.
func (s *State) tighter(than *State) bool {
	if s.RetryAfter != than.RetryAfter {
		return s.RetryAfter > than.RetryAfter
	}
	return s.RetryAfter == 0 && s.Remaining < than.Remaining
}

// remaining returns how many requests a bucket holds. Three microseconds make up for the rounding
// of Redis's doubles, without which a fresh bucket of 600 would have 598 left.
func remaining(l limit.Limit, reset time.Duration) int {
	held := math.Floor((float64(l.Fill()-reset) + 3*float64(time.Microsecond)) / l.Interval())
	return int(max(0, min(held, float64(l.Burst))))
}

// headers are in net/http's canonical form.
var headers = [...]string{
	"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Ratelimit-Policy", "Ratelimit",
}

// SetHeaders sets X-RateLimit-Limit (the bucket's size in requests), X-RateLimit-Remaining and
// X-RateLimit-Reset (Unix seconds at which the bucket is full again, or the quota's next period
// begins) of the tightest limit. It also sets RateLimit-Policy and RateLimit
// (draft-ietf-httpapi-ratelimit-headers-10), which list all limits by name, unless Name is empty.
// If Evaluated is false, it sets nothing. It never sets Retry-After.
func (d Decision) SetHeaders(h http.Header, now time.Time) {
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
	b = strconv.AppendInt(b, d.resetAt(now), 10)
	ends[2] = len(b)
	fields := headers[:3]
	if d.Name != "" {
		lone := [1]State{d.State}
		states := lone[:]
		if d.All != nil {
			states = d.All
		}
		for i := range states {
			s := &states[i]
			b = s.appendItem(b, i, ";q=", s.Limit.Burst, ";w=", s.Limit.Window(now))
		}
		ends[3] = len(b)
		for i := range states {
			s := &states[i]
			b = s.appendItem(b, i, ";r=", s.Remaining, ";t=", s.ResetAfter)
		}
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

// appendItem appends the item i of a list of RFC 9651: a string with two integer parameters.
func (s *State) appendItem(b []byte, i int, key1 string, n int, key2 string, seconds time.Duration) []byte {
	if i > 0 {
		b = append(b, ", "...)
	}
	b = append(b, '"')
	b = append(b, s.Name...)
	b = append(b, '"')
	b = append(b, key1...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, key2...)
	return strconv.AppendInt(b, apierror.Seconds(seconds), 10)
}

// resetAt returns the Unix second at which the bucket is full, or the quota's next period begins:
// exactly that, although ResetAfter was measured a moment before now, and on another clock.
func (s *State) resetAt(now time.Time) int64 {
	t := now.Add(s.ResetAfter)
	if s.Limit.Calendar != limit.None {
		_, t = s.Limit.Calendar.Bounds(t.Add(-time.Hour))
	}
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}
