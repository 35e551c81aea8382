package postgres

import (
	"math/rand/v2"
	"testing"
	"time"

	"hoko.to/edge/plugin/ratelimit"
)

func TestBoundsAreTheLimiters(t *testing.T) {
	agree := func(rate int64, period time.Duration, burst int64) {
		t.Helper()
		ours := checkLimit(rate, period, burst)
		theirs := ratelimit.Limit{Rate: int(rate), Period: period, Burst: int(burst)}.Validate()
		if (ours == nil) != (theirs == nil) {
			t.Errorf("%d in %s, burst %d: here %v, in the limiter %v", rate, period, burst, ours, theirs)
		}
	}
	rates := []int64{-1, 0, 1, 2, 99, 100, 101, 600, maxRate - 1, maxRate, maxRate + 1}
	periods := []time.Duration{-1, 0, minPeriod - 1, minPeriod, time.Second, time.Minute, maxPeriod / 2, maxPeriod - 1, maxPeriod, maxPeriod + 1}
	for _, rate := range rates {
		for _, period := range periods {
			for _, burst := range rates {
				agree(rate, period, burst)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		agree(1<<random.IntN(31)+random.Int64N(9)-4, minPeriod<<random.IntN(36), 1<<random.IntN(31)+random.Int64N(9)-4)
	}
}
