package failure

import (
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// redisOutages lists the ways in which Redis fails, with the error class that counts them.
var redisOutages = []struct {
	name, class string
	inject, fix func(t *testing.T, r *brokenRedis)
}{
	{"refused", "refused",
		func(_ *testing.T, r *brokenRedis) { r.Kill() },
		func(t *testing.T, r *brokenRedis) { r.Start(t) }},
	{"mute", "timeout",
		func(t *testing.T, r *brokenRedis) { r.signal(t, syscall.SIGSTOP) },
		func(t *testing.T, r *brokenRedis) { r.signal(t, syscall.SIGCONT) }},
	{"slow", "timeout", // answers arrive after the timeout
		func(t *testing.T, r *brokenRedis) {
			harness.RedisDo(t, r.control, "CLIENT", "PAUSE", "600000", "WRITE")
		},
		func(t *testing.T, r *brokenRedis) { harness.RedisDo(t, r.control, "CLIENT", "UNPAUSE") }},
	{"full", "memory",
		func(t *testing.T, r *brokenRedis) { harness.RedisDo(t, r.control, "CONFIG", "SET", "maxmemory", "1") },
		func(t *testing.T, r *brokenRedis) { harness.RedisDo(t, r.control, "CONFIG", "SET", "maxmemory", "0") }},
	{"read-only", "readonly",
		func(t *testing.T, r *brokenRedis) { harness.RedisDo(t, r.control, "REPLICAOF", "127.0.0.1", "1") },
		func(t *testing.T, r *brokenRedis) { harness.RedisDo(t, r.control, "REPLICAOF", "NO", "ONE") }},
}

type brokenRedis struct {
	*testenv.OwnRedis
	control *redis.Client
}

func breakableRedis(t *testing.T) *brokenRedis {
	t.Helper()
	server := testenv.RedisServer(t)
	return &brokenRedis{server, harness.RedisClient(t, server.URL())}
}

func (r *brokenRedis) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	testenv.NoError(t, syscall.Kill(r.PID(), signal))
}

const (
	decidedByRedis = `hoko_ratelimit_decisions_total{outcome="allowed",source="redis"}`
	allowedLocally = `hoko_ratelimit_decisions_total{outcome="allowed",source="local"}`
	deniedLocally  = `hoko_ratelimit_decisions_total{outcome="denied",source="local"}`
	breakersOpen   = `hoko_redis_breakers_open`
)

func TestRedisOutage_KeepsLimitAndHeals(t *testing.T) {
	for _, outage := range redisOutages {
		t.Run(outage.name, func(t *testing.T) {
			server, dsn := breakableRedis(t), testenv.Database(t)
			d := harness.Seed(t, dsn)
			s := startOutageStack(t, dsn, server.URL(), nil)
			sold := 0
			s.until("redis decides", func() bool {
				if s.Sell(t, s.client, harness.ValidSale).StatusCode == 201 {
					sold++
				}
				return s.metric(decidedByRedis) > 0
			})
			outage.inject(t, server)
			for range outageBurst + 5 {
				got := s.Sell(t, s.client, harness.ValidSale)
				switch {
				case got.StatusCode == 201:
					sold++
				case got.StatusCode != 429 || got.Header.Get("Retry-After") == "":
					t.Fatalf("got %d %s", got.StatusCode, got.Text)
				}
				harness.WantHeader(t, got, "X-RateLimit-Limit", "10")
			}
			// The edge starts with a full local bucket, whatever the one in Redis held.
			allowed, denied := s.metric(allowedLocally), s.metric(deniedLocally)
			if allowed != outageBurst || denied < 5 {
				t.Errorf("%v allowed, %v denied locally", allowed, denied)
			}
			d.WantSales(t, sold)
			s.wantSite()
			s.wantMetric(`hoko_redis_errors_total{class="`+outage.class+`"}`, 1)
			s.wantMetric(breakersOpen, 1)
			s.logs("redis does not answer: limits are decided without it", `"class":"`+outage.class+`"`)

			outage.fix(t, server)
			s.logs("redis answers again")
			s.until("the breaker is closed", func() bool { return s.metric(breakersOpen) == 0 })
			before := s.metric(decidedByRedis)
			s.until("redis decides again",
				func() bool { s.Sell(t, s.client, harness.ValidSale); return s.metric(decidedByRedis) > before })
			if said := strings.Count(s.Log.String(), "redis does not answer"); said != 1 {
				t.Errorf("the outage is logged %d times", said)
			}
		})
	}
}
