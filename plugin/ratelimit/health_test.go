package ratelimit

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// The documented user has no right to PING.
func TestCheck_WithTheDocumentedUser(t *testing.T) {
	server := testenv.RedisServer(t)
	command(t, adminClient(t, server.URL()), "ACL", "SETUSER", "edge", "reset", "on", ">password",
		"~rate:hoko:*", "+eval", "+evalsha", "+get", "+set", "+time", "+select")
	url := strings.Replace(server.URL(), "unix://", "unix://edge:password@", 1)
	l := newLimiter(t, Options{URL: url, Timeout: longTimeout})
	testenv.Until(t, "redis answers", func() bool { return l.Check() == nil })
	server.Kill()
	if l.Check() == nil {
		t.Error("no error without redis")
	}
	server.Start(t)
	command(t, adminClient(t, server.URL()), "ACL", "SETUSER", "edge", "reset", "on", ">password", "+time", "+select")
	testenv.Until(t, "redis is back", func() bool { return l.Check() == nil })
}

func TestCheck_FailsWhileABreakerIsOpen(t *testing.T) {
	s := newRealRedis(t)
	s.wantUp()
	testenv.NoError(t, s.Check())
	command(t, s.admin, "REPLICAOF", "127.0.0.1", "1") // still answers TIME
	s.wantOutage("readonly")
	if err := s.Check(); !errors.Is(err, errOpen) {
		t.Errorf("error %v", err)
	}
	command(t, s.admin, "REPLICAOF", "NO", "ONE")
	s.wantRecovery()
	testenv.NoError(t, s.Check())
}

func TestCheck_MuteRedisWithinTimeout(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.NoError(t, err)
	defer mute.Close()
	for _, timeout := range []time.Duration{20 * time.Millisecond, time.Minute} {
		l := newLimiter(t, Options{URL: "redis://" + mute.Addr().String(), Timeout: timeout})
		start := time.Now()
		if l.Check() == nil {
			t.Error("no error")
		}
		if took := time.Since(start); took > 10*time.Second { // without a limit, it hangs
			t.Errorf("timeout %s: took %s", timeout, took)
		}
	}
}
