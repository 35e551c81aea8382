package ratelimit

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLog_ThrottlesMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, messages := newLogRecorder(), newMessageFilter()
		messages.Printf(t.Context(), "message %d", -1) // discarded, without throttling the next
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
	for _, tt := range []struct{ text, want string }{
		{"dial redis://user:tOpSeCrEt@host:6379: refused", "dial redis[redacted]host:6379: refused"},
		{"unknown command 'AUTH', with args beginning with: 'tOpSeCrEt' \n", "unknown command 'AUTH', [redacted]"},
		{`sentinel: new master="main" addr="10.0.0.1:6379"`, `sentinel: new master="main" addr="10.0.0.1:6379"`},
	} {
		if got := redact(tt.text); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// go-redis reports Sentinels that reject AUTH.
func TestLogTo_ReceivesMessages(t *testing.T) {
	log := newLogRecorder()
	messages.mu.Lock()
	clear(messages.throttles) // with -count, an earlier run has used them
	messages.mu.Unlock()
	LogTo(log.logger())
	defer LogTo(nil)
	sentinel := newFakeRedis("-ERR unknown command 'AUTH', with args beginning with: 'tOpSeCrEt' \r\n")
	const url = "redis://:tOpSeCrEt@a:1,b:2?master_name=main"
	l := newLimiter(t, Options{URL: url, dial: sentinel.dial, Timeout: longTimeout, Logger: log.logger()})
	for range failureThreshold {
		if d := allow(t, l, Request{Limit: perMinute}); d.Source != FromLocal {
			t.Errorf("got %+v", d)
		}
	}
	lines := strings.Join(log.wait(t, 2), "\n") // go-redis's, and the breaker's
	if !strings.Contains(lines, "GetMasterAddrByName") || strings.Contains(lines, "tOpSeCrEt") {
		t.Errorf("got %q", lines)
	}
}
