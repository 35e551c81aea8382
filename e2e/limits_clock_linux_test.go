package e2e

import (
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// Redis's clock decides, so it does not matter what the edges take for the time.
func TestALimitIsExactWhateverRedisTakesForTheTime(t *testing.T) {
	for name, off := range map[string]time.Duration{"a day ahead": 25 * time.Hour, "a day behind": -25 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			url := testenv.RedisOff(t, off).URL()
			wantClockOff(t, url, off)
			limitIsExact(t, url)
		})
	}
}

// wantClockOff fails unless a Redis takes it for so much later than it is: without faketime it would not.
func wantClockOff(t *testing.T, url string, off time.Duration) {
	t.Helper()
	now, err := redisClient(t, url).Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	if is := time.Until(now); (is - off).Abs() > hangGuard {
		t.Fatalf("redis is off by %s, not %s: run script/bootstrap --test", is, off)
	}
}
