package testenv

import (
	"testing"

	"hoko.to/edge/internal/devserver"
)

// Redis is the URL of a Redis of the test's own, empty, with its own counters.
func Redis(t testing.TB) string {
	t.Helper()
	return RedisServer(t).URL()
}

// OwnRedis is a Redis of a test's own, which it may stop, kill and start again.
type OwnRedis struct {
	*devserver.Redis
	options devserver.RedisOptions
}

// RedisServer starts a server of the test's own, which takes some 30 ms.
func RedisServer(t testing.TB) *OwnRedis {
	t.Helper()
	s := &OwnRedis{options: devserver.RedisOptions{Dir: serverDir(t)}}
	s.Start(t)
	t.Cleanup(func() { s.Kill() })
	return s
}

// Start starts the server again, empty and at its old address.
func (s *OwnRedis) Start(t testing.TB) {
	t.Helper()
	server, err := devserver.StartRedis(t.Context(), s.options)
	if err != nil {
		t.Fatal(err)
	}
	s.Redis = server
}
