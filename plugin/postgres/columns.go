package postgres

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/limit"
)

// LimitColumns holds the columns rate_limit, rate_period and rate_burst of a row.
type LimitColumns struct {
	Rate   *int64
	Period pgtype.Interval
	Burst  *int64
}

// Limit returns the row's limit, or an error if it is invalid. A null rate means no limit, which is
// the zero Limit; a null period means one minute, and a null burst equals the rate.
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

// duration converts an interval. A day has 24 hours and a month 30 days, as in Postgres's
// comparisons. It returns false if the days or the microseconds exceed limit.MaxPeriod.
func duration(i pgtype.Interval) (time.Duration, bool) {
	const day = 24 * time.Hour
	days := int64(i.Months)*30 + int64(i.Days)
	if !within(days, int64(limit.MaxPeriod/day)) || !within(i.Microseconds, limit.MaxPeriod.Microseconds()) {
		return 0, false
	}
	return time.Duration(days)*day + time.Duration(i.Microseconds)*time.Microsecond, true
}

func within(n, bound int64) bool { return -bound <= n && n <= bound }

// Time converts a nullable timestamp. Null and infinity become the zero time. Times before 1970
// become 1970, so that none of them is mistaken for the zero time.
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

// Texts converts a text array. Null elements become "", which is neither a scope nor matches a
// host. They are not dropped, because a list of hosts that becomes empty would allow any host.
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
