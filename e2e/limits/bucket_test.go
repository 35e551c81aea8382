package limits

import (
	"fmt"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestKeySpellings_ShareOneBucketOnAllEdges(t *testing.T) {
	f := harness.StartFleet(t, testenv.Redis(t))
	key := f.NewKey(harness.PerKey(12, "1 day", 12))
	left := 12
	for _, spelling := range []string{"Bearer " + key, "bearer " + key, key, "BEARER   " + key} {
		for i := range f.Edges {
			left--
			got := f.GetLinks(t, i, spelling)
			harness.WantStatus(t, got, 200)
			harness.WantHeader(t, got, "X-RateLimit-Remaining", fmt.Sprint(left))
		}
	}
	for i := range f.Edges {
		for _, spelling := range []string{"Bearer " + key, key} {
			harness.WantStatus(t, f.Sell(t, i, spelling), 429)
		}
	}
}

func TestBucket_OtherKeysDoNotChangeIt(t *testing.T) {
	f := harness.StartFleet(t, testenv.Redis(t))
	const burst = 30
	mine := f.NewKey(harness.PerKey(burst, "1 day", burst))
	c := f.StartCrowd(t, f.NewKey(harness.PerKey(burst, "1 day", burst))) // in the same workspace
	c.UntilEach(t, "the other key is used", 1, func(harness.Call) bool { return true })
	for i := range burst {
		if i == burst/2 {
			c.UntilEach(t, "the other key is denied", 1, harness.Call.Denied)
		}
		got := f.GetLinks(t, i%len(f.Edges), mine)
		harness.WantStatus(t, got, 200)
		harness.WantHeader(t, got, "X-RateLimit-Limit", fmt.Sprint(burst))
		harness.WantHeader(t, got, "X-RateLimit-Remaining", fmt.Sprint(burst-1-i))
	}
	harness.WantStatus(t, f.GetLinks(t, 0, mine), 429)
	c.Stop()
}
