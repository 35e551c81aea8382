package keys_test

import (
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

func TestLimit_OfKeyThenWorkspace(t *testing.T) {
	dsn := testenv.Database(t)
	var log testenv.Log
	db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn, Logger: log.Logger()})
	limited := func(rate int, period time.Duration, burst int) limit.Limit {
		return limit.Limit{Rate: rate, Period: period, Burst: burst}
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name, key, workspace string
		want                 limit.Limit
		warnings             int
	}{
		{"none", "NULL, NULL, NULL", "NULL, NULL, NULL", limit.Limit{}, 0},
		{"the key's", "10, '1 s', 20", "NULL, NULL, NULL", limited(10, time.Second, 20), 0},
		{"the key's before the workspace's", "10, '1 s', 20", "1, '1 h', 1", limited(10, time.Second, 20), 0},
		{"the workspace's", "NULL, NULL, NULL", "1, '1 h', 2", limited(1, time.Hour, 2), 0},
		{"period and burst without a rate", "NULL, '1 s', 20", "1, '1 h', 2", limited(1, time.Hour, 2), 0},
		{"a null period is a minute", "10, NULL, 20", "1, '1 h', 2", limited(10, time.Minute, 20), 0},
		{"a null burst is the rate", "10, '1 s', NULL", "1, '1 h', 2", limited(10, time.Second, 10), 0},
		{"days", "10, '1 day 1 h', NULL", "NULL, NULL, NULL", limited(10, 25*time.Hour, 10), 0},
		{"months", "10, '2 months', NULL", "NULL, NULL, NULL", limited(10, 60*day, 10), 0},
		{"years", "10, '1 year', NULL", "NULL, NULL, NULL", limited(10, 360*day, 10), 0},
		{"mixed signs", "10, '1 day -23 h', NULL", "NULL, NULL, NULL", limited(10, time.Hour, 10), 0},
		{"the longest period", "1, '366 days', 1", "NULL, NULL, NULL", limited(1, 366*day, 1), 0},
		{"the shortest period", "1, '1 ms', 1", "NULL, NULL, NULL", limited(1, time.Millisecond, 1), 0},
		{"the highest rate", "1000000000, '10000 s', NULL", "NULL, NULL, NULL", limited(1e9, 1e4*time.Second, 1e9), 0},

		{"a rate of zero", "0, '1 s', 20", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"a negative rate", "-1, '1 s', 20", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"an absurd rate", "1000000001, '1 s', 20", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"a burst of zero", "1, '1 s', 0", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"an absurd burst", "1, '1 s', 1000000001", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"a period of zero", "1, '0', 1", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"a negative period", "1, '-1 s', 1", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"too short a period", "1, '999 us', 1", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"too long a period", "1, '367 days', 1", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"a period that wraps around int64", "1, '213504 days', 1", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"a period beyond int64", "1, '178000000 years', 1", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"a negative period beyond int64", "1, '-178000000 years', 1", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"more than one per 10 µs", "101, '1 ms', 1", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"a burst that takes too long to refill", "1, '366 days', 2", "1, '1 h', 2", limited(1, time.Hour, 2), 1},
		{"the workspace's invalid", "NULL, NULL, NULL", "0, '1 h', 2", limit.Limit{}, 1},
		{"both invalid", "0, '1 s', 20", "-1, '1 h', 2", limit.Limit{}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			hash := seedKey(db, "rate_limit, rate_period, rate_burst", c.key)
			db.Exec(`UPDATE hoko.workspaces SET (rate_limit, rate_period, rate_burst) = (` + c.workspace + `)`)
			before := log.Count("key_id=k1")
			got := mustKey(t, store, hash)
			if got.Limit != c.want {
				t.Errorf("got %+v, want %+v", got.Limit, c.want)
			}
			if n := log.Count("key_id=k1") - before; n != c.warnings {
				t.Errorf("warned %d times, want %d", n, c.warnings)
			}
			if err := got.Limit.Validate(); got.Limit != (limit.Limit{}) && err != nil {
				t.Errorf("invalid: %v", err)
			}
		})
	}
}
