package ratelimit

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLog_ThrottlesMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, messages := newJournal(), newMessageFilter()
		messages.Printf(t.Context(), "without a logger") // discarded, and does not count
		messages.to.Store(log.logger())
		for i := range 60 {
			messages.Printf(t.Context(), "message %d", i)
			time.Sleep(time.Second)
		}
		messages.Printf(t.Context(), "another")
		if lines := log.all(); len(lines) != 7 || lines[1] != "redis client message=message 10" {
			t.Errorf("got %q", lines)
		}
	})
}

func TestLog_RedactsPasswords(t *testing.T) {
	for text, want := range map[string]string{
		"failed to dial redis://user:tOpSeCrEt@host:6379: refused":                            "failed to dial redis[redacted]host:6379: refused",
		"failed: ERR unknown command 'AUTH', with args beginning with: 'user' 'tOpSeCrEt' \n": "failed: ERR unknown command 'AUTH', [redacted]",
		"sentinel: new master=\"main\" addr=\"10.0.0.1:6379\"":                                "sentinel: new master=\"main\" addr=\"10.0.0.1:6379\"",
	} {
		if got := redact(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A failed dial and a Sentinel that knows no AUTH are what go-redis reports.
func TestLogTo_ReceivesMessages(t *testing.T) {
	log := newJournal()
	messages.mu.Lock()
	clear(messages.throttles) // of an earlier run: they are the process's
	messages.mu.Unlock()
	LogTo(log.logger())
	defer LogTo(nil)
	sentinel := newFakeRedis("-ERR unknown command 'AUTH', with args beginning with: 'tOpSeCrEt' \r\n")
	l := newLimiter(t, Options{URL: "redis://:tOpSeCrEt@a:1,b:2?master_name=main", dial: sentinel.dial, Timeout: patience, Logger: log.logger()})
	for range tolerated {
		if d := ask(t, l, Request{Limit: perMinute}); d.Source != FromLocal {
			t.Errorf("got %+v", d)
		}
	}
	lines := strings.Join(log.await(t, 2), "\n") // go-redis's, and the breaker's
	if !strings.Contains(lines, "GetMasterAddrByName") || strings.Contains(lines, "tOpSeCrEt") {
		t.Errorf("got %q", lines)
	}
}
