package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

// Limit returns a valid limit or an error.
func FuzzLimitColumns(f *testing.F) {
	f.Add(int64(600), int64(60_000_000), int32(0), int32(0), int64(600), true)
	f.Add(int64(1), int64(0), int32(366), int32(0), int64(1), true)
	f.Add(int64(1), int64(0), int32(366), int32(0), int64(2), true)
	f.Add(int64(10), int64(-82_800_000_000), int32(1), int32(0), int64(0), false)
	f.Add(int64(0), int64(1<<62), int32(-1<<31), int32(1<<31-1), int64(-1), true)
	f.Fuzz(func(t *testing.T, rate, microseconds int64, days, months int32, burst int64, withBurst bool) {
		period := pgtype.Interval{Microseconds: microseconds, Days: days, Months: months, Valid: true}
		columns := LimitColumns{Rate: &rate, Period: period}
		if withBurst {
			columns.Burst = &burst
		}
		limit, err := columns.Limit()
		if err != nil {
			return
		}
		if err := limit.Validate(); err != nil {
			t.Errorf("%+v: %v", limit, err)
		}
	})
}
