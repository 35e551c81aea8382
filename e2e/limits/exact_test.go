package limits

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// Three edges and twelve clients share one bucket at a time.
func TestLimit_IsExactOverThreeEdges(t *testing.T) { limitIsExact(t, testenv.Redis(t)) }

func limitIsExact(t *testing.T, redisURL string) {
	f := harness.StartFleet(t, redisURL)
	t.Run("a burst", func(t *testing.T) { admitsItsBurst(t, f) })
	t.Run("a burst and a rate", func(t *testing.T) { admitsBurstAndRate(t, f) })
	t.Run("after retryAfter", func(t *testing.T) { admitsAfterRetryAfter(t, f) })
}

// While nothing is refilled, each request of the burst is admitted once and denials are free.
func admitsItsBurst(t *testing.T, f *harness.Fleet) {
	const burst = 60
	started := time.Now()
	key := f.NewKey(harness.PerKey(burst, "1 day", burst))
	c := f.StartCrowd(t, key)
	c.UntilEach(t, "every caller is denied", 20, harness.Call.Denied)
	c.Stop()
	var remaining []int
	for _, one := range c.All() {
		if one.Admitted() {
			remaining = append(remaining, atoi(t, one.Remaining))
		} else if !one.Denied() {
			t.Fatalf("got %v", one)
		}
	}
	slices.Sort(remaining)
	for i, n := range remaining {
		if n != i {
			t.Fatalf("%d admitted, with %d remaining, want each from 0 to %d once", len(remaining), remaining, burst-1)
		}
	}
	if len(remaining) != burst {
		t.Fatalf("%d admitted, want %d", len(remaining), burst)
	}
	// If denials were charged, the bucket would be full hours later. Clients read the time on their
	// own clocks, whatever Redis's clock says.
	day := started.Add(24 * time.Hour).Unix()
	for i := range f.Edges {
		reset := atoi(t, f.GetLinks(t, i, key).Header.Get("X-RateLimit-Reset"))
		if int64(reset) < day || int64(reset) > time.Now().Add(24*time.Hour).Unix()+1 {
			t.Errorf("edge %d says that the bucket is full at %d, want a day after it was emptied, %d", i, reset, day)
		}
	}
}

// A bucket in constant use admits its burst and what is refilled, and nothing else.
func admitsBurstAndRate(t *testing.T, f *harness.Fleet) {
	const burst, rate, enough = 200, 20, 240 // rate is per second; the bucket needs 10 s to fill
	c := f.StartCrowd(t, f.NewKey(harness.PerKey(10*rate, "10 seconds", burst)))
	c.Until(t, "it has admitted enough", func(calls [][]harness.Call) bool {
		admitted := 0
		for _, own := range calls {
			for _, one := range own {
				if one.Admitted() {
					admitted++
				}
			}
		}
		return admitted >= enough
	})
	c.Stop()
	if err := checkExact(c.All(), burst, rate); err != nil {
		t.Error(err)
	}
}

// slop is the part of a request that two clocks may disagree about within a few seconds.
const slop = 0.05

// checkExact checks all calls to a bucket that was full at first. A call is decided between its
// sending and its answer, so both bounds are strict.
func checkExact(calls []harness.Call, burst, rate float64) error {
	var admitted, denied []harness.Call
	for _, one := range calls {
		switch {
		case one.Admitted():
			admitted = append(admitted, one)
		case one.Denied():
			denied = append(denied, one)
		default:
			return fmt.Errorf("got %v", one)
		}
	}
	slices.SortFunc(admitted, func(a, b harness.Call) int { return a.Answered.Compare(b.Answered) })
	for _, first := range admitted { // no period has too many
		within := 0.0
		for _, last := range admitted {
			if last.Sent.Before(first.Sent) {
				continue
			}
			within++
			if span := last.Answered.Sub(first.Sent).Seconds(); within > burst+rate*span+slop {
				return fmt.Errorf("%v admitted within %.3f s", within, span)
			}
		}
	}
	begun := admitted[0].Answered // the first was decided before this
	for _, one := range denied {  // none was denied while the bucket held a request
		before := 0.0
		for _, other := range admitted {
			if !other.Sent.After(one.Answered) {
				before++
			}
		}
		if span := one.Sent.Sub(begun).Seconds(); before < burst+rate*span-1-slop {
			return fmt.Errorf("a call was denied although at most %v had been admitted within %.3f s", before, span)
		}
	}
	return nil
}

// Buckets of several sizes, each with one client that changes edges and sometimes asks too often.
func admitsAfterRetryAfter(t *testing.T, f *harness.Fleet) {
	limits := []harness.KeyLimit{
		harness.PerKey(1, "1 second", 1), harness.PerKey(2, "3 seconds", 1), harness.PerKey(1, "2 seconds", 2),
		harness.PerKey(3, "10 seconds", 3),
	}
	for _, limit := range limits {
		key := f.NewKey(limit)
		t.Run(fmt.Sprintf("of %d in %s", limit.Rate, limit.Period), func(t *testing.T) {
			t.Parallel()
			for round := range 2 {
				var denial harness.Answer
				for asked, denials := 0, 0; denials < 10; asked++ {
					if got := f.GetLinks(t, asked%len(f.Edges), key); got.StatusCode == 429 {
						denial = got
						denials++
					}
				}
				seconds := atoi(t, denial.Header.Get("Retry-After"))
				<-time.After(time.Duration(seconds) * time.Second)
				harness.WantStatus(t, f.GetLinks(t, round, key), 200)
			}
		})
	}
}

func atoi(t testing.TB, text string) int {
	t.Helper()
	return harness.Number(t, `^(\d+)$`, text)
}
