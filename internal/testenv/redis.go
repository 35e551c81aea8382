package testenv

import (
	"testing"

	"hoko.to/edge/internal/devserver"
)

// Redis starts an empty Redis, which stops when the test ends, and returns its URL.
func Redis(t testing.TB) string {
	t.Helper()
	return RedisServer(t).URL()
}

// OwnRedis is a Redis that one test uses alone and may stop, kill and start again.
type OwnRedis struct {
	*devserver.Redis
	options devserver.RedisOptions
}

// RedisServer starts an OwnRedis and stops it when the test ends. That takes about 30 ms.
func RedisServer(t testing.TB) *OwnRedis {
	t.Helper()
	s := &OwnRedis{options: devserver.RedisOptions{Dir: serverDir(t)}}
	s.Start(t)
	t.Cleanup(func() { s.Kill() })
	return s
}

// Start starts the stopped server again, empty and at its old address.
func (s *OwnRedis) Start(t testing.TB) {
	t.Helper()
	server, err := devserver.StartRedis(t.Context(), s.options)
	if err != nil {
		t.Fatal(err)
	}
	s.Redis = server
}
