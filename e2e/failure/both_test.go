package failure

import (
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestPostgresAndRedisOutage_ServesSiteAndHeals(t *testing.T) {
	server, limits := testenv.Postgres(t), testenv.RedisServer(t)
	dsn := server.DSN("postgres")
	migrateAndSeed(t, dsn)
	// Before the outage, Redis must decide.
	s := startOutageStack(t, dsn, limits.URL(), harness.Replace("timeout 1s", "timeout 10s"))
	answers := asked{}
	harness.WantStatus(t, s.askInOutage(answers), 201)
	server.Stop()
	limits.Kill()
	for range outageBurst {
		got := s.askInOutage(answers)
		harness.WantStatus(t, got, 503)
		harness.WantHeader(t, got, "X-RateLimit-Limit", "10")
	}
	harness.WantStatus(t, s.ask(1), 429) // the limit applies while both are down
	s.wantSite()
	server.Start(t)
	limits.Start(t)
	s.logs("redis answers again")
	d := harness.Connect(t, dsn)
	d.Exec("UPDATE hoko.api_keys SET rate_limit = 100000 WHERE id = $1", harness.KeyID(harness.FullKey))
	s.until("the new limit holds", func() bool { return s.ask(1).Header.Get("X-RateLimit-Limit") == "100000" })
	s.verify(d, answers)
}

func TestStart_WithoutServersFindsThemLater(t *testing.T) {
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
			harness.WantStatus(t, s.askInOutage(answers), want)
			if away.redis && !away.postgres { // without a key, no limit is evaluated
				s.wantMetric(allowedLocally, 1)
				s.wantMetric(breakersOpen, 1)
			}
			if away.postgres {
				server.Start(t)
			}
			if away.redis {
				limits.Start(t)
			}
			s.verify(harness.Connect(t, dsn), answers)
			s.until("redis decides",
				func() bool { s.link(harness.FullKey); s.ask(1); return s.metric(decidedByRedis) > 0 })
			s.until("the listener is up", func() bool { return s.metric("hoko_key_listener_up") == 1 })
		})
	}
}
