package testenv

import (
	"fmt"
	"testing"
	"time"

	"hoko.to/edge/internal/devserver"
)

// RedisOff is a RedisServer whose clock is off by so much: ahead, or behind where it is negative.
func RedisOff(t testing.TB, by time.Duration) *OwnRedis {
	t.Helper()
	s := &OwnRedis{options: devserver.RedisOptions{Dir: serverDir(t), Env: clockOff(by)}}
	s.Start(t)
	t.Cleanup(func() { s.Stop() })
	return s
}

// PostgresOff is a Postgres whose clock is off by so much.
func PostgresOff(t testing.TB, by time.Duration) *OwnPostgres {
	t.Helper()
	options := postgresOptions(serverDir(t))
	options.Env = clockOff(by)
	return startOwn(t, options)
}

// clockOff has a process see another time, by Debian's faketime. Where that is
// not installed (script/bootstrap --test does it) the process sees the true one.
// The command of that name would stand between us and our process.
//
// Redis's allocator asks for the time before faketime knows it, so that the C
// library's takes its place. The loader knows what $LIB is.
func clockOff(by time.Duration) []string {
	return []string{
		"LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1:libc_malloc_debug.so.0",
		fmt.Sprintf("FAKETIME=%+d", int(by.Seconds())),
		"FAKETIME_DONT_FAKE_MONOTONIC=1",
		"NO_FAKE_STAT=1",
	}
}
