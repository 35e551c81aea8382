package testenv

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestServers_WithClockSkew(t *testing.T) {
	for _, skew := range []time.Duration{time.Hour, -time.Hour} {
		conn := Connect(t, PostgresWithClockSkew(t, skew).DSN("postgres"))
		seen := Value[int64](conn, "SELECT extract(epoch FROM clock_timestamp())::bigint")
		if off := time.Until(time.Unix(seen, 0)); (off - skew).Abs() > 10*time.Minute {
			t.Errorf("postgres is off by %s, not %s: is faketime installed?", off, skew)
		}
		clock := redis(t, RedisWithClockSkew(t, skew).URL(), `EVAL "return tonumber(redis.call('TIME')[1])" 0`)
		seen, err := strconv.ParseInt(strings.TrimPrefix(clock, ":"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Until(time.Unix(seen, 0)); (off - skew).Abs() > 10*time.Minute {
			t.Errorf("redis is off by %s, not %s: is faketime installed?", off, skew)
		}
	}
}
