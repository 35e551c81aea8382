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

// LimitColumns are rate_limit, rate_period and rate_burst of a row.
type LimitColumns struct {
	Rate   *int64
	Period pgtype.Interval
	Burst  *int64
}

// Limit returns the limit, which is zero if the row sets none. A null period is one minute, a null
// burst equals the rate.
func (c LimitColumns) Limit() (apikey.Limit, error) {
	if c.Rate == nil {
		return apikey.Limit{}, nil
	}
	period := time.Minute
	if c.Period.Valid {
		var ok bool
		if period, ok = duration(c.Period); !ok {
			return apikey.Limit{}, errPeriod
		}
	}
	burst := *c.Rate
	if c.Burst != nil {
		burst = *c.Burst
	}
	if err := CheckLimit(*c.Rate, period, burst); err != nil {
		return apikey.Limit{}, err
	}
	return apikey.Limit{Rate: int(*c.Rate), Period: period, Burst: int(burst)}, nil
}

var errPeriod = fmt.Errorf("period must be %s … %s", minPeriod, maxPeriod)

// CheckLimit returns an error that says why a limit cannot be used.
func CheckLimit(rate int64, period time.Duration, burst int64) error {
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

// Time returns a nullable time of a row, which is zero for null and for infinity. Anything before
// 1970 is made 1970, so that no instant of the past is mistaken for that zero.
func Time(at pgtype.Timestamptz) time.Time {
	epoch := time.Unix(0, 0).UTC()
	switch {
	case !at.Valid || at.InfinityModifier == pgtype.Infinity:
		return time.Time{}
	case at.InfinityModifier == pgtype.NegativeInfinity || at.Time.Before(epoch):
		return epoch
	}
	return at.Time.UTC()
}

// Texts returns the elements of a text array with the empty string for null, which neither is a
// scope nor matches a host. It drops none: a list of hosts that became empty would allow any host.
func Texts(elements []*string) []string {
	if len(elements) == 0 {
		return nil
	}
	values := make([]string, len(elements))
	for i, element := range elements {
		if element != nil {
			values[i] = *element
		}
	}
	return values
}
