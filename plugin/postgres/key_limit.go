package postgres

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/apikey"
)

// The bounds of the rate limiter, which is no part of this package; a test
// compares them. A row beyond them is known as invalid here, where the next
// default is at hand.
const (
	maxRate     = 1_000_000_000
	minPeriod   = time.Millisecond
	maxPeriod   = 366 * day
	minInterval = 10 * time.Microsecond

	day = 24 * time.Hour
)

// limitColumns are rate_limit, rate_period and rate_burst of a row.
type limitColumns struct {
	rate   *int64
	period pgtype.Interval
	burst  *int64
}

// limit is zero where the row sets none. A null period is one minute, a null
// burst equals the rate.
func (c limitColumns) limit() (apikey.Limit, error) {
	if c.rate == nil {
		return apikey.Limit{}, nil
	}
	period := time.Minute
	if c.period.Valid {
		var ok bool
		if period, ok = duration(c.period); !ok {
			return apikey.Limit{}, errPeriod
		}
	}
	burst := *c.rate
	if c.burst != nil {
		burst = *c.burst
	}
	if err := checkLimit(*c.rate, period, burst); err != nil {
		return apikey.Limit{}, err
	}
	return apikey.Limit{Rate: int(*c.rate), Period: period, Burst: int(burst)}, nil
}

var errPeriod = fmt.Errorf("period must be %s … %s", minPeriod, maxPeriod)

func checkLimit(rate int64, period time.Duration, burst int64) error {
	switch {
	case rate < 1 || rate > maxRate:
		return fmt.Errorf("rate must be 1 … %d requests, not %d", maxRate, rate)
	case burst < 1 || burst > maxRate:
		return fmt.Errorf("burst must be 1 … %d requests, not %d", maxRate, burst)
	case period < minPeriod || period > maxPeriod:
		return errPeriod
	case period/time.Duration(rate) < minInterval:
		return fmt.Errorf("%d requests in %s are more than one in %s", rate, period, minInterval)
	case fillsLate(rate, period, burst):
		return fmt.Errorf("a burst of %d takes more than %s to come back", burst, maxPeriod)
	}
	return nil
}

// fillsLate: burst · period / rate exceeds maxPeriod, in 128 bits.
func fillsLate(rate int64, period time.Duration, burst int64) bool {
	hi, lo := bits.Mul64(uint64(burst), uint64(period))
	boundHi, boundLo := bits.Mul64(uint64(maxPeriod), uint64(rate))
	return hi > boundHi || hi == boundHi && lo > boundLo
}

// duration counts a day as 24 hours and a month as 30 days, as Postgres does
// when it compares intervals. It is false where a part of it exceeds maxPeriod.
func duration(i pgtype.Interval) (time.Duration, bool) {
	days := int64(i.Months)*30 + int64(i.Days)
	if !within(days, int64(maxPeriod/day)) || !within(i.Microseconds, maxPeriod.Microseconds()) {
		return 0, false
	}
	return time.Duration(days)*day + time.Duration(i.Microseconds)*time.Microsecond, true
}

func within(n, bound int64) bool { return -bound <= n && n <= bound }
