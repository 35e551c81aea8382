// Package ratelimit says how often: GCRA on Redis's clock, one bucket a
// verified key, and what is done while Redis is away. See docs/limits.md.
package ratelimit

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Limit admits Rate requests each Period, and at most Burst at once. GCRA
// admits the burst and the rate: 600 a minute with a burst of 600 admits up to
// 1,199 in the minute that begins with a full bucket.
type Limit struct {
	Rate   int
	Period time.Duration
	Burst  int
}

// Bounds of a limit: what GCRA counts exactly in the doubles of a Redis script,
// whose clock ticks in microseconds.
const (
	MaxRate   = 1_000_000_000
	MinPeriod = time.Millisecond
	MaxPeriod = 366 * 24 * time.Hour

	minInterval = 10 * time.Microsecond
)

// ParseLimit reads RATE/PERIOD, such as 600/1m, 10/s, 5000/1h30m or 100000/1d:
// the requests that a period admits, and the period as a duration in the units
// ms, s, m, h and d, whose number may be left out where it is 1. The burst is
// the rate.
func ParseLimit(s string) (Limit, error) {
	rate, period, ok := strings.Cut(s, "/")
	if !ok {
		return Limit{}, fmt.Errorf("limit %q: want RATE/PERIOD, such as 600/1m or 10/s", s)
	}
	requests, err := strconv.ParseUint(rate, 10, 31)
	if err != nil {
		return Limit{}, fmt.Errorf("limit %q: want RATE/PERIOD, such as 600/1m or 10/s: %q is not a number of requests", s, rate)
	}
	each, err := parsePeriod(period)
	if err != nil {
		return Limit{}, fmt.Errorf("limit %q: want RATE/PERIOD, such as 600/1m or 10/s: %q is not a duration", s, period)
	}
	l := Limit{Rate: int(requests), Period: each, Burst: int(requests)}
	if err := l.Validate(); err != nil {
		return Limit{}, fmt.Errorf("limit %q: %w", s, err)
	}
	return l, nil
}

// parsePeriod reads a duration that may begin with days, and whose first
// number may be left out where it is 1.
func parsePeriod(s string) (time.Duration, error) {
	if s != "" && 'a' <= s[0] && s[0] <= 'z' {
		s = "1" + s
	}
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	period, err := time.ParseDuration(days + "h")
	if err != nil {
		return 0, err
	}
	if period.Abs() > MaxPeriod/24 {
		return 0, fmt.Errorf("more than %s", MaxPeriod)
	}
	period *= 24
	if rest == "" {
		return period, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil {
		return 0, err
	}
	return period + more, nil
}

// Validate says why a limit cannot be used.
func (l Limit) Validate() error {
	switch {
	case l.Rate < 1 || l.Rate > MaxRate:
		return fmt.Errorf("rate must be 1 … %d requests, not %d", MaxRate, l.Rate)
	case l.Burst < 1 || l.Burst > MaxRate:
		return fmt.Errorf("burst must be 1 … %d requests, not %d", MaxRate, l.Burst)
	case l.Period < MinPeriod || l.Period > MaxPeriod:
		return fmt.Errorf("period must be %s … %s, not %s", MinPeriod, MaxPeriod, l.Period)
	case l.Period/time.Duration(l.Rate) < minInterval:
		return fmt.Errorf("%d requests in %s are more than one in %s", l.Rate, l.Period, minInterval)
	case l.fill() > MaxPeriod:
		return fmt.Errorf("a burst of %d takes more than %s to come back", l.Burst, MaxPeriod)
	}
	return nil
}

// interval is the emission interval: what one request costs, in nanoseconds.
func (l Limit) interval() float64 { return float64(l.Period) / float64(l.Rate) }

// fill is how long an empty bucket takes to fill, rounded up. It is exact,
// though the product has more than 64 bits, so that it rounds whole seconds
// to themselves.
func (l Limit) fill() time.Duration {
	const forever = time.Duration(1<<63 - 1)
	hi, lo := bits.Mul64(uint64(l.Burst), uint64(l.Period))
	if hi >= uint64(l.Rate) {
		return forever
	}
	quo, rem := bits.Div64(hi, lo, uint64(l.Rate))
	if rem > 0 {
		quo++
	}
	return time.Duration(min(quo, uint64(forever)))
}
