// Package limit provides Limit, a rate per period with a burst, such as 600 requests a minute, or a
// quota per day or month: its parsing, validation, JSON and GCRA arithmetic. See docs/limits.md.
package limit

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Limit is a bucket of Burst requests that refills with Rate requests per Period (GCRA). 600 a
// minute with a burst of 600 admits up to 1,199 requests in the minute that begins with a full
// bucket. If Calendar is not None, it is a quota instead: Rate requests in each of the calendar's
// periods. The zero Limit means no limit and is not valid.
type Limit struct {
	Rate     int           // requests per Period, up to MaxRate
	Period   time.Duration // MinPeriod to MaxPeriod; 0 for a quota
	Burst    int           // requests that a full bucket holds, up to MaxRate; Rate for a quota
	Calendar Calendar
}

// Bounds of a valid Limit. Within them, GCRA is exact in a Redis script, which computes in doubles
// and has a clock in microseconds.
const (
	MaxRate   = 1_000_000_000
	MinPeriod = time.Millisecond
	MaxPeriod = 366 * 24 * time.Hour

	minInterval = 10 * time.Microsecond
)

// Parse returns the Limit for RATE/PERIOD, such as 600/1m, 10/s, 5000/1h30m or 100000/1d: a number
// of requests, and a duration in the units d, h, m, s and ms. Days come first. If the duration's
// first number is 1, it may be omitted. The period of a quota is day or month. The burst equals the
// rate, unless " burst N" follows. Parse returns an error, which quotes text, if the form is wrong
// or the Limit is not valid.
func Parse(text string) (Limit, error) {
	const form = "limit %q: want RATE/PERIOD, such as 600/1m, 10/s or 100000/month"
	perPeriod, burst, withBurst := strings.Cut(text, " burst ")
	rate, per, ok := strings.Cut(perPeriod, "/")
	if !ok {
		return Limit{}, fmt.Errorf(form, text)
	}
	requests, err := strconv.ParseUint(rate, 10, 31)
	if err != nil {
		return Limit{}, fmt.Errorf(form+": %q is not a number of requests", text, rate)
	}
	l := Limit{Rate: int(requests), Burst: int(requests), Calendar: calendars[per]}
	if l.Calendar == None {
		if l.Period, err = parsePeriod(per); err != nil {
			return Limit{}, fmt.Errorf(form+": %q is not a duration, day or month", text, per)
		}
	}
	if withBurst {
		if l.Burst, err = strconv.Atoi(burst); err != nil {
			return Limit{}, fmt.Errorf("limit %q: burst must be a whole number, not %q", text, burst)
		}
	}
	if err := l.Validate(); err != nil {
		return Limit{}, fmt.Errorf("limit %q: %w", text, err)
	}
	return l, nil
}

// parsePeriod reads a duration that may begin with days and may lack a leading 1.
func parsePeriod(text string) (time.Duration, error) {
	if text != "" && 'a' <= text[0] && text[0] <= 'z' {
		text = "1" + text
	}
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	if strings.Trim(days, "+-.0123456789") != "" {
		return 0, errors.New("days come first")
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
	return period + more, err
}

// WithDefaults returns l with defaults for zero fields: a Period of one minute, and a Burst equal
// to Rate. A quota has no Period.
func (l Limit) WithDefaults() Limit {
	if l.Calendar == None {
		l.Period = cmp.Or(l.Period, time.Minute)
	}
	l.Burst = cmp.Or(l.Burst, l.Rate)
	return l
}

// Validate returns an error that names the first bound that l violates, or nil.
func (l Limit) Validate() error {
	switch {
	case l.Rate < 1 || l.Rate > MaxRate:
		return fmt.Errorf("rate must be 1 … %d requests, not %d", MaxRate, l.Rate)
	case l.Calendar != None:
		return l.validateQuota()
	case l.Burst < 1 || l.Burst > MaxRate:
		return fmt.Errorf("burst must be 1 … %d requests, not %d", MaxRate, l.Burst)
	case l.Period < MinPeriod || l.Period > MaxPeriod:
		return fmt.Errorf("period must be %s … %s, not %s", MinPeriod, MaxPeriod, l.Period)
	case l.Period/time.Duration(l.Rate) < minInterval:
		return fmt.Errorf("%d requests per %s are more than one per %s", l.Rate, l.Period, minInterval)
	case l.Fill() > MaxPeriod:
		return fmt.Errorf("a burst of %d takes more than %s to refill", l.Burst, MaxPeriod)
	}
	return nil
}

func (l Limit) validateQuota() error {
	switch {
	case l.Calendar > Month:
		return errors.New("calendar must be day or month")
	case l.Period != 0:
		return fmt.Errorf("a quota per %s has no other period", l.Calendar)
	case l.Burst != l.Rate:
		return fmt.Errorf("a quota per %s has no burst: all of it can be used immediately", l.Calendar)
	}
	return nil
}

// Interval returns the emission interval of GCRA in nanoseconds: the time that one request costs.
func (l Limit) Interval() float64 { return float64(l.Period) / float64(l.Rate) }

// Cost returns the time that n requests cost, rounded up to a nanosecond.
func (l Limit) Cost(n float64) time.Duration { return time.Duration(math.Ceil(n * l.Interval())) }

// Fill returns how long an empty bucket takes to fill, rounded up to a nanosecond and at most
// math.MaxInt64. It computes with 128 bits, so that whole seconds are exact.
func (l Limit) Fill() time.Duration {
	hi, lo := bits.Mul64(uint64(l.Burst), uint64(l.Period))
	if hi >= uint64(l.Rate) {
		return math.MaxInt64
	}
	quo, rem := bits.Div64(hi, lo, uint64(l.Rate))
	if rem > 0 {
		quo++
	}
	return time.Duration(min(quo, math.MaxInt64))
}

// Window returns in what time the whole limit becomes available: the time to fill a bucket, or the
// length of the quota's period that contains now.
func (l Limit) Window(now time.Time) time.Duration {
	if l.Calendar == None {
		return l.Fill()
	}
	start, next := l.Calendar.Bounds(now)
	return next.Sub(start)
}
