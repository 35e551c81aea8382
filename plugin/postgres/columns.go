package postgres

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/limit"
)

// LimitColumns are rate_limit, rate_period and rate_burst of a row.
type LimitColumns struct {
	Rate   *int64
	Period pgtype.Interval
	Burst  *int64
}

// Limit returns the limit, which is zero if the row sets none. A null period is one minute, a null
// burst equals the rate.
func (c LimitColumns) Limit() (limit.Limit, error) {
	if c.Rate == nil {
		return limit.Limit{}, nil
	}
	l := limit.Limit{Rate: int(*c.Rate)}.WithDefaults()
	if c.Period.Valid {
		var ok bool
		if l.Period, ok = duration(c.Period); !ok {
			return limit.Limit{}, errPeriod
		}
	}
	if c.Burst != nil {
		l.Burst = int(*c.Burst)
	}
	if err := l.Validate(); err != nil {
		return limit.Limit{}, err
	}
	return l, nil
}

var errPeriod = fmt.Errorf("period must be %s … %s", limit.MinPeriod, limit.MaxPeriod)

// duration counts a day as 24 hours and a month as 30 days, as Postgres does
// when it compares intervals. It is false where a part of it exceeds limit.MaxPeriod.
func duration(i pgtype.Interval) (time.Duration, bool) {
	const day = 24 * time.Hour
	days := int64(i.Months)*30 + int64(i.Days)
	if !within(days, int64(limit.MaxPeriod/day)) || !within(i.Microseconds, limit.MaxPeriod.Microseconds()) {
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
