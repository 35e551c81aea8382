package reload

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// footprint is what an edge holds while it is idle. Memory is in MiB.
type footprint struct {
	goroutines, descriptors, postgres, redis, heap, resident int
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d sessions in Postgres, %d in Redis, heap %d MiB, process "+
		"%d MiB",
		f.goroutines, f.descriptors, f.postgres, f.redis, f.heap, f.resident)
}

// within reports whether nothing is left of each reload, or of each that changed the settings.
func (f footprint) within(before footprint) bool {
	return f.goroutines <= before.goroutines+20 && f.descriptors <= before.descriptors+20 &&
		f.postgres <= before.postgres+5 &&
		f.redis <= before.redis+5 && f.heap <= before.heap+8 && f.resident <= before.resident+128
}

// takeFootprint measures the footprint. It includes requests in flight.
func takeFootprint(t *testing.T, s *harness.Stack, redisServer *redis.Client) footprint {
	t.Helper()
	var f footprint
	f.heap, f.resident = s.Memory(t)
	f.goroutines = harness.Number(t, `^goroutine profile: total (\d+)`, s.AdminGet(t, "/debug/pprof/goroutine?debug=1"))
	f.descriptors = s.Descriptors(t)
	f.postgres = s.DB.Count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
		AND pid <> pg_backend_pid()`)
	clients, err := redisServer.Info(t.Context(), "clients").Result()
	testenv.NoError(t, err)
	f.redis = harness.Number(t, `connected_clients:(\d+)`, clients) - 1 // the test's own
	return f
}

func TestReload_AHundredLeakNothing(t *testing.T) {
	t.Parallel() // waits for the backends of old settings, which outlive their longest request
	dsn, site, redisURL := testenv.Database(t), harness.StartSite(t, nil), testenv.Redis(t)
	redisServer := harness.RedisClient(t, redisURL)
	roomy := func(config string) string { return strings.Replace(config, "limit 600/1m", "limit 1000000/1m", 1) }
	s := &harness.Stack{
		DB: harness.Seed(t, dsn), Site: site, DSN: dsn,
		Edge: harness.Start(t, harness.Settings{DatabaseURL: dsn, RedisURL: redisURL, Upstream: site.Upstream(),
			Edit: roomy}),
	}

	_, stop := load(t, s, 1)
	for s.DB.Sales() < 500 && !t.Failed() { // until every pool has been used
	}
	sold := stop()
	before := takeFootprint(t, s, redisServer)

	_, stop = load(t, s, 1)
	for i := range 100 {
		s.WriteCaddyfile(t, func(config string) string {
			// Two of five reloads have new settings.
			return strings.Replace(roomy(config), "ttl 60s", fmt.Sprintf("ttl %ds", 60+(i+1)*2/5), 1)
		})
		s.Load(t)
	}
	sold += stop()
	if int64(s.DB.Sales()) != sold {
		t.Errorf("%d sales in the table, %d were answered 201", s.DB.Sales(), sold)
	}
	most := takeFootprint(t, s, redisServer)

	poll := time.NewTicker(time.Second)
	defer poll.Stop()
	for guard := time.Now().Add(5 * harness.HangGuard); ; <-poll.C {
		after, backends := takeFootprint(t, s, redisServer), len(s.Backends(t))
		if backends == 1 && after.within(before) {
			t.Logf("before: %s\nwith the backends of old settings: %s\nafter:  %s", before, most, after)
			return
		}
		if time.Now().After(guard) {
			t.Fatalf("before: %s\nafter:  %s, and %d backends\n%s", before, after, backends,
				s.AdminGet(t, "/debug/pprof/goroutine?debug=1"))
		}
	}
}
