package failure

import (
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

var (
	failureFigures = flag.Bool("failure.figures", false, "print what a Redis that is away adds to a request, and fail where that is more than docs/failure.md says")
	failureRounds  = flag.Int("failure.rounds", 1, "outages of each kind")
)

// What a Redis that is away may add to a request.
const (
	addedAtFirst  = 60 * time.Millisecond
	addedWhenOpen = time.Millisecond
)

// limitedRoute is a page with a key and a limit, and nothing else that takes time.
func limitedRoute(config string) string {
	config = strings.Replace(config, "timeout 1s", "timeout 50ms", 1) // the default
	return strings.Replace(config, "\treverse_proxy", "\tapi_key_auth /limited\n\t\tredis_rate_limit /limited {\n\t\t\tlimit 1000000/1m\n\t\t\tname figures\n\t\t}\n"+
		"\t\trespond /limited 204\n\t\treverse_proxy", 1)
}

// took is how long requests took.
type took []time.Duration

// quantile of the sorted times: 0.5 is the median, 1 the slowest.
func (t took) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(t))
	return sorted[int(q*float64(len(sorted)-1))]
}

func TestAnOutageOfRedisDelaysItsFirstRequestsOnly(t *testing.T) {
	requests := 100
	if *failureFigures {
		requests = 2000
	}
	for _, outage := range redisOutages[:2] { // refused and mute: the others answer, or are as mute
		t.Run(outage.name, func(t *testing.T) {
			server, dsn := breakableRedis(t), testenv.Database(t)
			harness.Seed(t, dsn)
			s := startOutageStack(t, dsn, server.URL(), limitedRoute)
			c := s.Edge.Client(t, "HTTP/1.1")
			send := func(n int) (times took) {
				for range n {
					start := time.Now()
					got := s.Call(t, c, "GET", "/limited", "", "Authorization", harness.FullKey)
					times = append(times, time.Since(start))
					if got.StatusCode != 204 {
						t.Fatalf("got %d %s", got.StatusCode, got.Text)
					}
				}
				return times
			}
			var well, first, open took
			for range *failureRounds {
				s.until("redis decides", func() bool { send(10); return s.metric(breakersOpen) == 0 })
				well = append(well, send(requests)...)
				outage.strike(t, server)
				s.until("the breaker is open", func() bool { first = append(first, send(1)...); return s.metric(breakersOpen) == 1 })
				failed := s.failedCalls()
				open = append(open, send(requests)...)
				if more := s.failedCalls() - failed; more > float64(requests)/2 {
					t.Errorf("%v of %d requests asked redis while it was known to be away", more, requests)
				}
				outage.mend(t, server)
			}
			if !*failureFigures {
				return
			}
			t.Logf("%s: with redis p50 %v p99 %v max %v; the first %d: p50 %v max %v; breaker open, %d: p50 %v p99 %v max %v", outage.name,
				well.quantile(0.5), well.quantile(0.99), well.quantile(1), len(first), first.quantile(0.5), first.quantile(1),
				len(open), open.quantile(0.5), open.quantile(0.99), open.quantile(1))
			if added := first.quantile(1) - well.quantile(0.5); added > addedAtFirst {
				t.Errorf("the first request took %s longer than one with redis, want %s at most", added, addedAtFirst)
			}
			for _, q := range []float64{0.5, 0.99} {
				if added := open.quantile(q) - well.quantile(q); added > addedWhenOpen {
					t.Errorf("quantile %v: %s longer than with redis, want %s at most", q, added, addedWhenOpen)
				}
			}
		})
	}
}

// failedCalls are the calls that Redis has not answered, probes included.
func (s *outageStack) failedCalls() float64 {
	s.t.Helper()
	return s.metric(`hoko_redis_errors_total{class="refused"}`) + s.metric(`hoko_redis_errors_total{class="timeout"}`)
}
