package ratelimit

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/internal/testenv"
)

// outageTimeout is short enough to wait for, and long enough for a Redis on a busy machine.
const outageTimeout = time.Second

// realRedis is a Limiter with a real Redis that a test disrupts and restores.
type realRedis struct {
	testing.TB
	*Limiter
	server *testenv.OwnRedis
	admin  *redis.Client
	log    *logRecorder
}

func newRealRedis(t *testing.T) *realRedis {
	t.Helper()
	s := &realRedis{TB: t, server: testenv.RedisServer(t), log: newLogRecorder()}
	s.admin = adminClient(t, s.server.URL())
	s.Limiter = newLimiter(t, Options{URL: s.server.URL(), Timeout: outageTimeout, Logger: s.log.logger()})
	return s
}

// decide makes one decision, which must allow the request.
func (s *realRedis) decide() Decision {
	s.Helper()
	d, err := s.Allow(s.Context(), Request{Name: "default", Limit: hugeLimit})
	if err != nil || !d.Allowed || !d.Evaluated {
		s.Fatalf("got %+v, %v", d, err)
	}
	return d
}

// wantUp waits until Redis decides, which may take several tries on a busy machine.
func (s *realRedis) wantUp() {
	s.Helper()
	for try := 0; s.decide().Source != FromRedis; try++ {
		if try == 100 {
			s.Fatalf("redis does not decide: logged %q", s.log.all())
		}
	}
}

// wantOutage checks that three failures open the breaker, and that Redis is then not called.
func (s *realRedis) wantOutage(class string) {
	s.Helper()
	for range failureThreshold {
		s.decide()
	}
	lines := s.log.wait(s, len(s.log.all()))
	if len(lines) == 0 || !strings.Contains(lines[len(lines)-1], "class="+class+" ") {
		s.Fatalf("logged %q after three decisions, want class %s", lines, class)
	}
	start := time.Now()
	for range 1000 {
		if d := s.decide(); d.Source != FromLocal {
			s.Fatalf("got %+v, want it from local", d)
		}
	}
	if took := time.Since(start); took > 20*time.Second { // timeouts would take 1,000 s
		s.Errorf("1,000 decisions without redis took %s", took)
	}
}

// wantRecovery waits until the breaker closes and Redis decides again.
func (s *realRedis) wantRecovery() {
	s.Helper()
	for n := len(s.log.all()); ; n++ {
		lines := s.log.wait(s, n)
		if len(lines) > 0 && strings.HasPrefix(lines[len(lines)-1], "redis answers again") {
			break
		}
	}
	s.wantUp()
}

func TestOutage_RecoversWithoutRestart(t *testing.T) {
	type step func(t *testing.T, s *realRedis)
	run := func(args ...any) step {
		return func(t *testing.T, s *realRedis) { command(t, s.admin, args...) }
	}
	acl := func(rules ...any) step {
		return run(append([]any{"ACL", "SETUSER", "default"}, rules...)...)
	}
	signal := func(signal syscall.Signal) step {
		return func(t *testing.T, s *realRedis) {
			if err := syscall.Kill(s.server.PID(), signal); err != nil {
				t.Fatal(err)
			}
		}
	}
	kill := func(_ *testing.T, s *realRedis) { s.server.Kill() }
	start := func(t *testing.T, s *realRedis) { s.server.Start(t) }
	tests := []struct {
		name, class      string
		disrupt, restore step
	}{
		{"killed and restarted", "refused", kill, start},
		{"stopped", "timeout", signal(syscall.SIGSTOP), signal(syscall.SIGCONT)},
		{"out of memory", "memory", run("CONFIG", "SET", "maxmemory", "1"), run("CONFIG", "SET", "maxmemory", "0")},
		{"replica", "readonly", run("REPLICAOF", "127.0.0.1", "1"), run("REPLICAOF", "NO", "ONE")},
		{"no EVALSHA", "auth", acl("-evalsha", "-eval"), acl("+@all")},
		{"no SET", "auth", acl("-set"), acl("+@all")},
		{"no TIME", "auth", acl("-time"), acl("+@all")},
		{"no keys", "auth", acl("resetkeys", "~other:*"), acl("allkeys")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newRealRedis(t)
			s.wantUp()
			tt.disrupt(t, s)
			s.wantOutage(tt.class)
			tt.restore(t, s)
			s.wantRecovery()
		})
	}
}

func TestOutage_AtStart(t *testing.T) {
	server := testenv.RedisServer(t)
	server.Kill()
	s := &realRedis{TB: t, server: server, log: newLogRecorder()}
	s.Limiter = newLimiter(t, Options{URL: server.URL(), Timeout: outageTimeout, Logger: s.log.logger()})
	s.wantOutage("refused")
	server.Start(t)
	s.wantRecovery()
}

func TestAllow_SurvivesFlushAndRestart(t *testing.T) {
	server := testenv.RedisServer(t)
	limiter := newLimiter(t, Options{URL: server.URL(), Timeout: longTimeout})
	admin := adminClient(t, server.URL())
	for i, disrupt := range []func(){
		func() {},
		func() { command(t, admin, "SCRIPT", "FLUSH") },
		func() { command(t, admin, "FLUSHALL") },
		func() { command(t, admin, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
		func() { server.Kill(); server.Start(t) },
	} {
		disrupt()
		if d := allow(t, limiter, Request{Name: "default", Limit: perMinute}); d.Source != FromRedis {
			t.Errorf("disruption %d: got %+v", i, d)
		}
	}
}

func TestAllow_ForeignValueIsCountedLocally(t *testing.T) {
	server := testenv.RedisServer(t)
	limiter := newLimiter(t, Options{URL: server.URL(), Timeout: longTimeout})
	admin := adminClient(t, server.URL())
	broken := Request{Name: "default", Limit: perMinute}
	key := keyOf(broken)
	for _, set := range [][]any{
		{"LPUSH", key, "x"}, {"SET", key, "x"}, {"SET", key, "1000000000"}, {"SET", key, "1e300"},
		{"SET", key, "inf"}, {"SET", key, "nan"},
	} {
		command(t, admin, "DEL", key)
		command(t, admin, set...)
		for range 5 {
			if d := allow(t, limiter, broken); d.Source != FromLocal || !d.Allowed {
				t.Fatalf("%v: got %+v", set, d)
			}
		}
		if d := allow(t, limiter, Request{Name: "other", Limit: perMinute}); d.Source != FromRedis {
			t.Errorf("%v: got %+v for another key", set, d)
		}
	}
}
