package ratelimit

import (
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/internal/testkit"
	"hoko.to/edge/plugin/limit"
)

func TestRedisKeys_HavePrefixAndExpire(t *testing.T) {
	url := testenv.Redis(t)
	redis := adminClient(t, url)
	limiter := newLimiter(t, Options{URL: url, Prefix: "staging:", Timeout: longTimeout})
	limit := limitOf(600, time.Hour, 100)
	for i := range 3 {
		allow(t, limiter, Request{Name: "sales", Bucket: [32]byte{byte(i)}, Limit: limit})
	}
	keys := redis.Keys(t.Context(), "*").Val()
	if len(keys) != 3 {
		t.Fatalf("got %q, want three keys", keys)
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "rate:staging:sales:{") || !strings.HasSuffix(key, "}:600/1h0m0s/100") {
			t.Errorf("got key %q", key)
		}
		if ttl := redis.TTL(t.Context(), key).Val(); ttl <= 0 || ttl > 6*time.Second {
			t.Errorf("%s expires in %s, want up to 6 s, the cost of one request", key, ttl)
		}
	}
}

func TestAllow_LimitersShareBuckets(t *testing.T) {
	url := testenv.Redis(t)
	limit := limitOf(200, time.Second, 40)
	var admitted atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range 3 {
		limiter := newLimiter(t, Options{URL: url, Timeout: longTimeout})
		for range 8 {
			wg.Go(func() {
				for range 50 {
					d, err := limiter.Allow(t.Context(), Request{Name: "default", Limit: limit})
					if err != nil || d.Source == FromLocal {
						t.Errorf("got %+v, %v", d, err)
						return
					}
					if d.Allowed {
						admitted.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	bound := int64(40 + 200*time.Since(start).Seconds() + 1)
	if got := admitted.Load(); got < 40 || got > bound {
		t.Errorf("admitted %d, want 40 … %d", got, bound)
	}
}

func TestAllow_NameAndPrefixSeparateBuckets(t *testing.T) {
	url := testenv.Redis(t)
	limit := limitOf(1, time.Hour, 1)
	for _, prefix := range []string{"", "staging:"} {
		limiter := newLimiter(t, Options{URL: url, Prefix: prefix, Timeout: longTimeout})
		for _, name := range []string{"default", "other"} {
			if d := allow(t, limiter, Request{Name: name, Limit: limit}); !d.Allowed {
				t.Errorf("%s%s: got %+v", prefix, name, d)
			}
		}
	}
}

func TestAllow_InvalidLimit(t *testing.T) {
	limiter := newLimiter(t, Options{URL: testenv.Redis(t), Timeout: longTimeout})
	for _, limit := range []limit.Limit{{}, {Rate: 1, Period: time.Second}, {Rate: -1, Period: time.Second, Burst: 1}} {
		if d, err := limiter.Allow(t.Context(), Request{Limit: limit, OnError: Allow}); err == nil {
			t.Errorf("%+v: got %+v", limit, d)
		}
	}
}

func TestNew_DoesNotDial(t *testing.T) {
	redis := newFakeRedis(replyFresh)
	for _, url := range []string{"redis://fake", "redis://fake,other:6379", "redis://fake?master_name=main"} {
		newLimiter(t, Options{URL: url, dial: redis.dial})
	}
	if got := redis.dials.Load(); got != 0 {
		t.Errorf("dialed %d times, want 0", got)
	}
}

func TestMetrics_CountDecisionsAndFailures(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.want(2, FromRedis, 0)
		s.redis.setReply(replyDenied)
		denied := another()
		for range 4 {
			s.allow(denied)
		}
		time.Sleep(time.Second)
		s.redis.setReply("-LOADING\r\n")
		s.want(5, FromLocal, 0)
		for _, mode := range []OnError{Allow, Deny, Deny} {
			s.Allow(s.Context(), Request{Limit: perMinute, OnError: mode})
		}
		for _, tt := range []struct {
			what   string
			metric prometheus.Metric
			want   int
		}{
			{"allowed by redis", s.metrics.allowed[FromRedis], 2},
			{"denied by redis", s.metrics.denied[FromRedis], 1},
			{"denied from memory", s.metrics.denied[FromMemory], 3},
			{"allowed locally", s.metrics.allowed[FromLocal], 5},
			{"allowed without a limit", s.metrics.allowed[FromNone], 1},
			{"unavailable", s.metrics.unavailable, 2},
			{"loading", s.metrics.failures[failLoading], 3},
		} {
			if got := metricValue(t, tt.metric); got != tt.want {
				t.Errorf("%s: %d, want %d", tt.what, got, tt.want)
			}
		}
		var calls dto.Metric
		s.metrics.calls.Write(&calls)
		if n := calls.GetHistogram().GetSampleCount(); n != 6 { // not those from memory, or behind the breaker
			t.Errorf("%d calls to Redis, want 6", n)
		}
	})
}

func TestMetrics_Shared(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 {
		newLimiter(t, Options{URL: "redis://fake", Metrics: registry}).metrics.unavailable.Inc()
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	const want = "hoko_ratelimit_decisions_total hoko_redis_call_seconds hoko_redis_errors_total"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := metricValue(t, newMetrics(registry).unavailable); got != 2 {
		t.Errorf("two limiters have counted %d, want 2", got)
	}
}

func TestStats_JSON(t *testing.T) {
	withFakeRedis(t, func(s *fixture) {
		s.redis.setReply("-LOADING\r\n")
		s.want(3, FromLocal, 0)
		got, err := json.Marshal(s.Stats())
		if err != nil {
			t.Fatal(err)
		}
		want := `{"nodes":[{"node":"fake:6379","open":true,"since":"2000-01-01T00:00:00Z","cause":"loading"}],` +
			`"connections":{"open":1,"idle":1,"waits":0,"timeouts":0},` +
			`"remembered_denials":0,"local_buckets":3}`
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func TestServer_VersionAndClock(t *testing.T) {
	l := newLimiter(t, Options{URL: testenv.Redis(t), Timeout: time.Minute})
	before := time.Now()
	server, err := l.server(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if server.Name == "" || server.Version == "" {
		t.Errorf("got %+v", server)
	}
	if clock := server.Nodes[0].Clock; clock.Before(before.Truncate(time.Microsecond)) || clock.After(time.Now()) {
		t.Errorf("got the clock %s, called at %s", clock, before)
	}
}

func TestServer_UnreachableRedis(t *testing.T) {
	l := newLimiter(t, Options{URL: "redis://127.0.0.1:1", Timeout: time.Minute})
	if server, err := l.server(t.Context()); err == nil {
		t.Errorf("got %+v", server)
	}
}

func TestTrace_OfEachDecision(t *testing.T) {
	down := Options{URL: "unix:///nonexistent", Timeout: longTimeout}
	one := limitOf(1, time.Hour, 1)
	for name, tc := range map[string]struct {
		options Options
		request Request
		want    []string
	}{
		"denied": {
			Options{URL: testenv.Redis(t), Timeout: longTimeout}, Request{Name: "a", Limit: one},
			[]string{"rate limit[EVALSHA]", "rate limit[EVALSHA]", "rate limit"},
		},
		"local": {
			down, Request{Name: "a", Limit: one},
			[]string{"rate limit[EVALSHA!refused]", "rate limit"},
		},
		"failing": {
			down, Request{Name: "a", Limit: one, OnError: Deny},
			[]string{"rate limit!unavailable[EVALSHA!refused]", "rate limit!unavailable"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			limiter := newLimiter(t, tc.options)
			for i, want := range tc.want {
				ctx, trace := testkit.StartTrace(t.Context())
				limiter.Allow(ctx, tc.request)
				if got := trace.Tree(); got != want {
					t.Errorf("request %d: got %q, want %q", i, got, want)
				}
			}
		})
	}
}

func TestAllow_RememberedDenialAllocatesNothing(t *testing.T) {
	limiter := newLimiter(t, Options{URL: testenv.Redis(t), Timeout: longTimeout})
	request := Request{Name: "default", Limit: limitOf(1, time.Hour, 1)}
	for allow(t, limiter, request).Source != FromMemory {
	}
	if n := testing.AllocsPerRun(100, func() { limiter.Allow(t.Context(), request) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
