package ratelimit

import (
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

func TestServerSaysItsVersionAndTime(t *testing.T) {
	l, err := New(Options{URL: testenv.Redis(t), Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := time.Now()
	server, err := l.Server(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if server.Name == "" || server.Version == "" {
		t.Errorf("%+v", server)
	}
	if server.Clock.Before(before.Truncate(time.Microsecond)) || server.Clock.After(time.Now()) {
		t.Errorf("clock %s, asked at %s", server.Clock, before)
	}
}

func TestServerOfARedisThatIsAwayIsAnError(t *testing.T) {
	l, err := New(Options{URL: "redis://127.0.0.1:1", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if server, err := l.Server(t.Context()); err == nil {
		t.Errorf("%+v", server)
	}
}
