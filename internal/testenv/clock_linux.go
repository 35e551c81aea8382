package testenv

import (
	"fmt"
	"testing"
	"time"

	"hoko.to/edge/internal/devserver"
)

// RedisOff starts a Redis as RedisServer does, with a clock that is ahead by this much, or behind
// if by is negative. The offset is in whole seconds and needs faketime.
func RedisOff(t testing.TB, by time.Duration) *OwnRedis {
	t.Helper()
	s := &OwnRedis{options: devserver.RedisOptions{Dir: serverDir(t), Env: clockOff(by)}}
	s.Start(t)
	t.Cleanup(func() { s.Stop() })
	return s
}

// PostgresOff starts a Postgres as Postgres does, with a clock that is ahead by this much, or
// behind if by is negative. The offset is in whole seconds and needs faketime.
func PostgresOff(t testing.TB, by time.Duration) *OwnPostgres {
	t.Helper()
	options := postgresOptions(serverDir(t))
	options.Env = clockOff(by)
	return startOwn(t, options)
}

// clockOff returns the environment in which Debian's faketime shifts a process's clock. If faketime
// is not installed (script/bootstrap --test installs it), the process sees the true time. The
// command faketime would be a process between this one and the server.
//
// Redis's allocator reads the clock before faketime is ready, so the C library's allocator replaces
// it. The loader expands $LIB.
func clockOff(by time.Duration) []string {
	return []string{
		"LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1:libc_malloc_debug.so.0",
		fmt.Sprintf("FAKETIME=%+d", int(by.Seconds())),
		"FAKETIME_DONT_FAKE_MONOTONIC=1",
		"NO_FAKE_STAT=1",
	}
}
