package e2e

import (
	"testing"

	"hoko.to/edge/internal/testenv"
)

func TestWithoutPostgresAndRedisTheSiteIsServedAndBothAreFoundAgain(t *testing.T) {
	server, limits := testenv.Postgres(t), testenv.RedisServer(t)
	dsn := server.DSN("postgres")
	migrateAndSeed(t, dsn)
	s := startOutageStack(t, dsn, limits.URL(), replace("timeout 1s", "timeout 10s")) // before the outage redis is to decide
	answers := asked{}
	if got := s.askInOutage(answers); got.StatusCode != 201 {
		t.Fatalf("before: %d %s", got.StatusCode, got.body)
	}
	server.Stop()
	limits.Kill()
	for range outageBurst {
		got := s.askInOutage(answers)
		if got.StatusCode != 503 {
			t.Errorf("got %d %s", got.StatusCode, got.body)
		}
		wantHeader(t, got, "X-RateLimit-Limit", "10")
	}
	if got := s.ask(1); got.StatusCode != 429 { // the limit holds in an outage of both
		t.Errorf("beyond the limit: %d %s", got.StatusCode, got.body)
	}
	s.wantSite()
	server.Start(t)
	limits.Start(t)
	s.logs("redis answers again")
	d := reconnect(t, dsn)
	d.exec("UPDATE hoko.api_keys SET rate_limit = 100000 WHERE id = $1", keyID(fullKey)) // room to ask for all again
	s.until("the new limit holds", func() bool { return s.ask(1).Header.Get("X-RateLimit-Limit") == "100000" })
	s.settle(d, answers)
}

func TestAnEdgeThatStartsWithoutItsServersFindsThemLater(t *testing.T) {
	for name, away := range map[string]struct{ postgres, redis bool }{
		"postgres": {true, false}, "redis": {false, true}, "both": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, limits := testenv.Postgres(t), testenv.RedisServer(t)
			dsn := server.DSN("postgres")
			migrateAndSeed(t, dsn)
			if away.postgres {
				server.Stop()
			}
			if away.redis {
				limits.Kill()
			}
			s := startOutageStack(t, dsn, limits.URL(), manyCalls)
			s.wantSite()
			want := 201
			if away.postgres {
				want = 503
				s.logs("not listening for changed keys")
			}
			answers := asked{}
			if got := s.askInOutage(answers); got.StatusCode != want {
				t.Errorf("got %d %s, want %d", got.StatusCode, got.body, want)
			}
			if away.redis && !away.postgres { // without a key there is no limit to ask for
				s.wantMetric(allowedLocally, 1)
				s.wantMetric(breakersOpen, 1)
			}
			if away.postgres {
				server.Start(t)
			}
			if away.redis {
				limits.Start(t)
			}
			s.settle(reconnect(t, dsn), answers)
			s.until("redis decides", func() bool { s.link(fullKey); s.ask(1); return s.metric(decidedByRedis) > 0 })
			s.until("revocations are heard of", func() bool { return s.metric("hoko_key_listener_up") == 1 })
		})
	}
}
