package ratelimit

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/internal/testenv"
)

// unhurried is a timeout that only a Redis misses that is away, and not one on a busy machine.
const unhurried = time.Second

// realOutage is a limiter on a real Redis that a test breaks and mends.
type realOutage struct {
	testing.TB
	*Limiter
	server  *testenv.OwnRedis
	control *redis.Client
	journal *journal
}

func newRealOutage(t *testing.T) *realOutage {
	t.Helper()
	s := &realOutage{TB: t, server: testenv.RedisServer(t), journal: newJournal()}
	s.control = control(t, s.server.URL())
	s.Limiter = newLimiter(t, Options{URL: s.server.URL(), Timeout: unhurried, Logger: s.journal.logger()})
	return s
}

// decide asks once; no outage keeps it waiting.
func (s *realOutage) decide() Decision {
	s.Helper()
	d, err := s.Allow(s.Context(), Request{Name: "default", Limit: limitOf(6_000_000, time.Minute, 6_000_000)})
	if err != nil || !d.Allowed || !d.Evaluated {
		s.Fatalf("got %+v, %v", d, err)
	}
	return d
}

// goesAway asks until the breaker is open, and checks that Redis is then left alone.
func (s *realOutage) goesAway(class string) {
	s.Helper()
	for range tolerated {
		s.decide()
	}
	lines := s.journal.await(s, len(s.journal.all()))
	if len(lines) == 0 || !strings.Contains(lines[len(lines)-1], "class="+class+" ") {
		s.Fatalf("three decisions later it logged %q, want class %s", lines, class)
	}
	start := time.Now()
	for range 1000 {
		if d := s.decide(); d.Source != FromLocal {
			s.Fatalf("got %+v from an open breaker", d)
		}
	}
	if took := time.Since(start); took > 20*time.Second { // a timeout each would be 1,000 s
		s.Errorf("1,000 decisions without redis took %s", took)
	}
}

// comesBack waits for the breaker to close, and checks that Redis decides again.
func (s *realOutage) comesBack() {
	s.Helper()
	for n := len(s.journal.all()); ; n++ {
		lines := s.journal.await(s, n)
		if len(lines) > 0 && strings.HasPrefix(lines[len(lines)-1], "redis answers again") {
			break
		}
	}
	for try := 0; s.decide().Source != FromRedis; try++ { // a busy machine may miss a deadline again
		if try == 100 {
			s.Fatalf("redis is not asked again: %q", s.journal.all())
		}
	}
}

func TestOutage_RecoversWithoutRestart(t *testing.T) {
	tests := []struct {
		name, class string
		breakIt     func(t *testing.T, s *realOutage)
		mend        func(t *testing.T, s *realOutage)
	}{
		{
			"killed and started again", "refused",
			func(_ *testing.T, s *realOutage) { s.server.Kill() },
			func(t *testing.T, s *realOutage) { s.server.Start(t) },
		},
		{
			"stopped in its tracks", "timeout",
			func(t *testing.T, s *realOutage) { s.signal(t, syscall.SIGSTOP) },
			func(t *testing.T, s *realOutage) { s.signal(t, syscall.SIGCONT) },
		},
		{
			"out of memory", "memory",
			func(t *testing.T, s *realOutage) { order(t, s.control, "CONFIG", "SET", "maxmemory", "1") },
			func(t *testing.T, s *realOutage) { order(t, s.control, "CONFIG", "SET", "maxmemory", "0") },
		},
		{
			"a replica now", "readonly",
			func(t *testing.T, s *realOutage) { order(t, s.control, "REPLICAOF", "127.0.0.1", "1") },
			func(t *testing.T, s *realOutage) { order(t, s.control, "REPLICAOF", "NO", "ONE") },
		},
		{
			"its permission taken", "auth",
			func(t *testing.T, s *realOutage) {
				order(t, s.control, "ACL", "SETUSER", "default", "-evalsha", "-eval")
			},
			func(t *testing.T, s *realOutage) { order(t, s.control, "ACL", "SETUSER", "default", "+@all") },
		},
		{
			"a permission of the script's taken", "auth",
			func(t *testing.T, s *realOutage) { order(t, s.control, "ACL", "SETUSER", "default", "-set") },
			func(t *testing.T, s *realOutage) { order(t, s.control, "ACL", "SETUSER", "default", "+@all") },
		},
		{
			"its clock taken", "auth",
			func(t *testing.T, s *realOutage) { order(t, s.control, "ACL", "SETUSER", "default", "-time") },
			func(t *testing.T, s *realOutage) { order(t, s.control, "ACL", "SETUSER", "default", "+@all") },
		},
		{
			"its keys taken", "auth",
			func(t *testing.T, s *realOutage) {
				order(t, s.control, "ACL", "SETUSER", "default", "resetkeys", "~other:*")
			},
			func(t *testing.T, s *realOutage) { order(t, s.control, "ACL", "SETUSER", "default", "allkeys") },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newRealOutage(t)
			s.comesUp()
			tt.breakIt(t, s)
			s.goesAway(tt.class)
			tt.mend(t, s)
			s.comesBack()
		})
	}
}

// comesUp has Redis decide for the first time.
func (s *realOutage) comesUp() {
	s.Helper()
	for try := 0; s.decide().Source != FromRedis; try++ {
		if try == 100 {
			s.Fatal("redis is not asked")
		}
	}
}

func (s *realOutage) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.server.PID(), signal); err != nil {
		t.Fatal(err)
	}
}

func TestOutage_AtStart(t *testing.T) {
	server := testenv.RedisServer(t)
	server.Kill()
	s := &realOutage{TB: t, server: server, journal: newJournal()}
	s.Limiter = newLimiter(t, Options{URL: server.URL(), Timeout: unhurried, Logger: s.journal.logger()})
	s.goesAway("refused")
	server.Start(t)
	s.comesBack()
}

func TestAllow_SurvivesFlushAndRestart(t *testing.T) {
	server := testenv.RedisServer(t)
	limiter := newLimiter(t, Options{URL: server.URL(), Timeout: patience})
	admin := control(t, server.URL())
	for i, disturb := range []func(){
		func() {},
		func() { order(t, admin, "SCRIPT", "FLUSH") },
		func() { order(t, admin, "FLUSHALL") },
		func() { order(t, admin, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
		func() { server.Kill(); server.Start(t) },
	} {
		disturb()
		d, err := limiter.Allow(t.Context(), Request{Name: "default", Limit: perMinute})
		if err != nil || d.Source != FromRedis {
			t.Errorf("disturbance %d: got %+v, %v", i, d, err)
		}
	}
}

func TestAllow_ForeignValueIsCountedLocally(t *testing.T) {
	server := testenv.RedisServer(t)
	limiter := newLimiter(t, Options{URL: server.URL(), Timeout: patience})
	admin := control(t, server.URL())
	broken := Request{Name: "default", Limit: perMinute}
	key := (&bucket{broken.Name, broken.Bucket, broken.Limit}).key("rate:hoko:")
	for _, spoil := range [][]any{
		{"LPUSH", key, "x"}, {"SET", key, "x"}, {"SET", key, "1000000000"}, {"SET", key, "1e300"}, {"SET", key, "inf"}, {"SET", key, "nan"},
	} {
		order(t, admin, "DEL", key)
		order(t, admin, spoil...)
		for range 5 {
			if d, err := limiter.Allow(t.Context(), broken); err != nil || d.Source != FromLocal || !d.Allowed {
				t.Fatalf("%v: got %+v, %v", spoil, d, err)
			}
		}
		d, err := limiter.Allow(t.Context(), Request{Name: "other", Limit: perMinute})
		if err != nil || d.Source != FromRedis {
			t.Errorf("%v: the other keys suffer: %+v, %v", spoil, d, err)
		}
	}
}
