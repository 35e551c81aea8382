package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/internal/testenv"
)

// footprint is what an edge holds at a quiet moment, memory in MiB.
type footprint struct {
	goroutines, descriptors, postgres, redis, heap, resident int
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d sessions in Postgres, %d in Redis, heap %d MiB, process %d MiB",
		f.goroutines, f.descriptors, f.postgres, f.redis, f.heap, f.resident)
}

// within: nothing is there once for each of a hundred reloads, or of those that changed the settings.
func (f footprint) within(before footprint) bool {
	return f.goroutines <= before.goroutines+20 && f.descriptors <= before.descriptors+20 && f.postgres <= before.postgres+5 &&
		f.redis <= before.redis+5 && f.heap <= before.heap+8 && f.resident <= before.resident+128
}

// footprint counts now; requests that are under way count, too.
func (s *stack) footprint(t *testing.T, redisServer *redis.Client) footprint {
	t.Helper()
	var f footprint
	f.heap, f.resident = s.memory(t)
	f.goroutines = number(t, `^goroutine profile: total (\d+)`, s.adminGet(t, "/debug/pprof/goroutine?debug=1"))
	f.descriptors = s.descriptors(t)
	f.postgres = s.db.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	clients, err := redisServer.Info(t.Context(), "clients").Bytes()
	if err != nil {
		t.Fatal(err)
	}
	f.redis = number(t, `connected_clients:(\d+)`, clients) - 1 // the test's own
	return f
}

func number(t testing.TB, pattern string, text []byte) int {
	t.Helper()
	found := regexp.MustCompile(pattern).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in %.300s", pattern, text)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// keepSelling sends sales and pages over each protocol until it is stopped, and counts
// the sales. It leaves no connection behind.
func (s *stack) keepSelling(t *testing.T) (stop func() int64) {
	var (
		done  atomic.Bool
		sold  atomic.Int64
		group sync.WaitGroup
	)
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		group.Go(func() {
			defer c.CloseIdleConnections()
			for !done.Load() {
				if err := s.sellAndLook(c, &sold); err != nil {
					t.Errorf("%s: %v", protocol, err)
					return
				}
			}
		})
	}
	return func() int64 { done.Store(true); group.Wait(); return sold.Load() }
}

func TestAHundredReloadsLeaveNothingBehind(t *testing.T) {
	t.Parallel() // it waits for the backends of old settings, which outlive the longest request of theirs
	dsn, site, redisURL := testenv.Database(t), startSite(t, nil), testenv.Redis(t)
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	redisServer := redis.NewClient(options)
	defer redisServer.Close()
	roomy := func(config string) string { return strings.Replace(config, "limit 600/1m", "limit 1000000/1m", 1) }
	s := &stack{start(t, settings{databaseURL: dsn, redisURL: redisURL, upstream: site.upstream(), edit: roomy}), seed(t, dsn), site, dsn}

	stop := s.keepSelling(t)
	for s.db.sales() < 500 && !t.Failed() { // every pool has been needed
	}
	sold := stop()
	before := s.footprint(t, redisServer)

	stop = s.keepSelling(t)
	for i := range 100 {
		s.writeCaddyfile(t, func(config string) string {
			// Of five reloads two have other settings, which none has had before.
			return strings.Replace(roomy(config), "ttl 60s", fmt.Sprintf("ttl %ds", 60+(i+1)*2/5), 1)
		})
		s.reload(t)
	}
	sold += stop()
	if int64(s.db.sales()) != sold {
		t.Errorf("%d sales in the table, %d were answered 201", s.db.sales(), sold)
	}
	most := s.footprint(t, redisServer)

	poll := time.NewTicker(time.Second)
	defer poll.Stop()
	for guard := time.Now().Add(5 * hangGuard); ; <-poll.C {
		after, backends := s.footprint(t, redisServer), len(s.backends(t))
		if backends == 1 && after.within(before) {
			t.Logf("before: %s\nwith the backends of old settings: %s\nafter:  %s", before, most, after)
			return
		}
		if time.Now().After(guard) {
			t.Fatalf("before: %s\nafter:  %s, and %d backends\n%s", before, after, backends, s.adminGet(t, "/debug/pprof/goroutine?debug=1"))
		}
	}
}
