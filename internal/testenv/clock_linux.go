package testenv

import (
	"fmt"
	"testing"
	"time"

	"hoko.to/edge/internal/devserver"
)

// RedisWithClockSkew starts a Redis like RedisServer, with a clock that is ahead by skew, or behind
// if skew is negative. The skew is in whole seconds and needs faketime.
func RedisWithClockSkew(t testing.TB, skew time.Duration) *OwnRedis {
	t.Helper()
	s := &OwnRedis{options: devserver.RedisOptions{Dir: serverDir(t), Env: fakeClock(skew)}}
	s.Start(t)
	t.Cleanup(func() { s.Stop() })
	return s
}

// PostgresWithClockSkew is to Postgres as RedisWithClockSkew is to RedisServer.
func PostgresWithClockSkew(t testing.TB, skew time.Duration) *OwnPostgres {
	t.Helper()
	options := postgresOptions(serverDir(t))
	options.Env = fakeClock(skew)
	return startPostgres(t, options)
}

// fakeClock returns the environment in which Debian's faketime shifts a process's clock. If it is
// not installed (script/bootstrap --test installs it), the process sees the true time. The
// faketime command is not used because it would be a process between this one and the server.
//
// Redis's allocator reads the clock before faketime is ready, so the C library's allocator replaces
// it. The loader expands $LIB.
func fakeClock(skew time.Duration) []string {
	return []string{
		"LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1:libc_malloc_debug.so.0",
		fmt.Sprintf("FAKETIME=%+d", int(skew.Seconds())),
		"FAKETIME_DONT_FAKE_MONOTONIC=1",
		"NO_FAKE_STAT=1",
	}
}
