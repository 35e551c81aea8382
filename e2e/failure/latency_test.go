package failure

import (
	"flag"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

var (
	failureFigures = flag.Bool("failure.figures", false,
		"print added latencies, and fail if they exceed docs/measurements.md")
	failureRounds = flag.Int("failure.rounds", 1, "number of outages of each kind")
)

// The latency that an outage of Redis may add to a request.
const (
	addedAtFirst  = 60 * time.Millisecond
	addedWhenOpen = time.Millisecond
)

// limitedRoute adds a route that only authenticates and evaluates a limit.
func limitedRoute(config string) string {
	config = strings.Replace(config, "timeout 1s", "timeout 50ms", 1) // the default
	return strings.Replace(config, "\treverse_proxy", "\tapi_key_auth /limited\n\t\tredis_rate_limit /limited {\n"+
		"\t\t\tlimit 1000000/1m\n\t\t\tname figures\n\t\t}\n\t\trespond /limited 204\n\t\treverse_proxy", 1)
}

func TestRedisOutage_DelaysOnlyFirstRequests(t *testing.T) {
	requests := 100
	if *failureFigures {
		requests = 2000
	}
	for _, outage := range redisOutages[:2] { // refused and mute; the others answer or behave like mute
		t.Run(outage.name, func(t *testing.T) {
			server, dsn := breakableRedis(t), testenv.Database(t)
			harness.Seed(t, dsn)
			s := startOutageStack(t, dsn, server.URL(), limitedRoute)
			c := s.Edge.Client(t, "HTTP/1.1")
			send := func(n int) (times harness.Latencies) {
				for range n {
					start := time.Now()
					got := s.Call(t, c, "GET", "/limited", "", "Authorization", harness.FullKey)
					times = append(times, time.Since(start))
					harness.WantStatus(t, got, 204)
				}
				return times
			}
			var well, first, open harness.Latencies
			for range *failureRounds {
				s.until("redis decides", func() bool { send(10); return s.metric(breakersOpen) == 0 })
				well = append(well, send(requests)...)
				outage.inject(t, server)
				s.until("the breaker is open",
					func() bool { first = append(first, send(1)...); return s.metric(breakersOpen) == 1 })
				failed := s.failedCalls()
				open = append(open, send(requests)...)
				if more := s.failedCalls() - failed; more > float64(requests)/2 {
					t.Errorf("%v of %d requests asked redis while the breaker was open", more, requests)
				}
				outage.fix(t, server)
			}
			if !*failureFigures {
				return
			}
			well.Print(t, outage.name+": with redis")
			first.Print(t, outage.name+": until the breaker opened")
			open.Print(t, outage.name+": with the breaker open")
			if added := first.Percentile(100) - well.Percentile(50); added > addedAtFirst {
				t.Errorf("the first request took %s longer than with redis, want at most %s", added, addedAtFirst)
			}
			for _, p := range []int{50, 99} {
				if added := open.Percentile(p) - well.Percentile(p); added > addedWhenOpen {
					t.Errorf("percentile %d: %s longer than with redis, want at most %s", p, added, addedWhenOpen)
				}
			}
		})
	}
}

// failedCalls returns the number of calls that Redis did not answer, including probes.
func (s *outageStack) failedCalls() float64 {
	s.t.Helper()
	return s.metric(`hoko_redis_errors_total{class="refused"}`) + s.metric(`hoko_redis_errors_total{class="timeout"}`)
}
