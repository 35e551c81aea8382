package ratelimit

import (
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"hoko.to/edge/internal/testenv"
)

func TestBucket_WithoutRedis(t *testing.T) {
	for name, reply := range map[string]string{"mute": replyNever, "closing": replyClose} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(reply)
				l := newLimiter(t, Options{URL: "redis://fake", dial: f.dial})
				r := Request{Name: "default", Limit: limitOf(1, time.Hour, 1)}
				start := time.Now()
				allow(t, l, r)
				if d := peek(t, l, r); d.Allowed || d.Source != FromLocal {
					t.Errorf("got %+v, want the local bucket, which is empty", d)
				}
				if err := l.Reset(t.Context(), r); !errors.Is(err, ErrUnavailable) {
					t.Errorf("Reset: %v", err)
				}
				if d := peek(t, l, r); !d.Allowed || d.Source != FromLocal {
					t.Errorf("got %+v, want a full local bucket", d)
				}
				r.OnError = Deny
				if _, err := l.Peek(t.Context(), r); !errors.Is(err, ErrUnavailable) {
					t.Errorf("Peek: %v", err)
				}
				r.OnError = Allow
				if d := peek(t, l, r); !d.Allowed || d.Evaluated || d.Source != FromNone {
					t.Errorf("got %+v, want no limit", d)
				}
				if took := time.Since(start); took > 6*defaultTimeout {
					t.Errorf("six calls took %s", took)
				}
			})
		})
	}
}

func TestBucket_UserWithDocumentedPermissions(t *testing.T) {
	server := testenv.RedisServer(t)
	grant(t, adminClient(t, server.URL()), "staging:")
	u, err := url.Parse(server.URL())
	testenv.NoError(t, err)
	u.User = url.UserPassword("edge", "tOpSeCrEt")
	l := newLimiter(t, Options{URL: u.String(), Prefix: "staging:", Timeout: longTimeout})
	r := Request{Name: "default", Limit: limitOf(1, time.Hour, 1)}
	allow(t, l, r)
	reset(t, l, r)
	if d := peek(t, l, r); !d.Allowed || d.Source != FromRedis {
		t.Errorf("got %+v", d)
	}
}

func TestBucket_InARealCluster(t *testing.T) {
	l := newLimiter(t, Options{URL: "redis://127.0.0.1:" + startCluster(t)[0].port, Timeout: longTimeout})
	for i := range 16 { // on both nodes; the first reply that names the other one makes the Limiter use both
		r := Request{Name: "default", Bucket: [32]byte{byte(i)}, Limit: limitOf(1, time.Hour, 1)}
		peek(t, l, r)
		allow(t, l, r)
		reset(t, l, r)
		if d := peek(t, l, r); !d.Allowed || d.Source != FromRedis {
			t.Errorf("bucket %d: got %+v", i, d)
		}
	}
}

func TestUnavailable_NamesAnOpenBreaker(t *testing.T) {
	if got := unavailable(errOpen).Error(); got != "rate limit unavailable: redis: circuit breaker is open" {
		t.Error(got)
	}
}
