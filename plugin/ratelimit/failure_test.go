package ratelimit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/plugin/limit"
)

// Redis adds these to the error of a command in the script, before and since version 7.0.
const (
	script6 = "-ERR Error running script (call to f_3d1ab): @user_script:57: @user_script: 57: "
	script7 = " script: 3d1ab, on @user_script:57."
)

func TestFailure_ClassAndBreaker(t *testing.T) {
	tests := []struct {
		name, reply string // the test appends \r\n to errors
		class       failure
		opens       bool
	}{
		{"starting", "-LOADING Redis is loading the dataset in memory", failLoading, true},
		{"busy", "-BUSY Redis is busy running a script.", failLoading, true},
		{"out of memory", "-OOM command not allowed when used memory > 'maxmemory'.", failMemory, true},
		{"replica", "-READONLY You can't write against a read only replica." + script7, failReadOnly, true},
		{"cannot save", "-MISCONF Errors writing to the AOF file", failReadOnly, true},
		{"no password", "-NOAUTH Authentication required.", failAuth, true},
		{"no permission", "-NOPERM this user has no permissions to run the 'evalsha' command", failAuth, true},
		{"cluster down", "-CLUSTERDOWN The cluster is down", failCluster, true},
		{"protected mode", "-DENIED Redis is running in protected mode", failAuth, true},
		{"unexpected password", "-ERR AUTH <password> called without any password configured", failAuth, true},
		{"6.2: replica", script6 + "-READONLY You can't write against a read only replica.", failReadOnly, true},
		{"6.2: out of memory", script6 + "-OOM command not allowed when used memory > 'maxmemory'.", failMemory, true},
		{"6.2: replicas are missing", script6 + "-NOREPLICAS Not enough good replicas to write.", failReadOnly, true},
		{"6.2: cannot save", script6 + "-MISCONF Errors writing to the AOF file", failReadOnly, true},
		{"6.2: no command permission", script6 +
			"The user executing the script can't run this command or subcommand", failAuth, true},
		{"6.2: no key permission", script6 +
			"The user executing the script can't access at least one of the keys", failAuth, true},
		{"6.2: no TIME", script6 + "Unknown Redis command called from Lua script", failServer, true},
		{"6.2: write after TIME", script6 +
			"Write commands not allowed after non deterministic commands.", failServer, true},
		{"7.0: no permission",
			"-ERR The user executing the script can't run this command or subcommand" + script7, failAuth, true},
		{"7.0: no permission, ACL failure",
			"-ERR ACL failure in script: User x has no permissions to run the 'set' command" + script7, failAuth, true},
		{"7.2: no permission",
			"-NOPERM ACL failure in script: User x has no permissions to run 'set'" + script7, failAuth, true},
		{"7.0: no TIME", "-ERR Unknown Redis command called from script" + script7, failServer, true},
		{"Dragonfly: replica", "-ERR Error running script (call to 3d1ab): @user_script:57: " +
			"-READONLY You can't write against a read only replica.", failReadOnly, true},
		{"6.2: key of another type", script6 +
			"-WRONGTYPE Operation against a key holding the wrong kind of value", failKey, false},
		{"6.2: not a number", "-ERR Error running script (call to f_3d1ab): @user_script:41: user_script:41: " +
			"bad argument #1 to 'max' (number expected, got nil)", failKey, false},
		{"6.2: number too large", script6 + "-ERR value is not an integer or out of range", failKey, false},
		{"6.2: invalid expiry", script6 + "-ERR invalid expire time in set", failKey, false},
		{"7.0: number too large", "-ERR value is not an integer or out of range" + script7, failKey, false},
		{"unknown command", "-ERR unknown command 'evalsha'", failServer, true},
		{"unknown script after EVAL", "-NOSCRIPT No matching script. Please use EVAL.", failServer, true},
		{"closed connection", replyClose, failNetwork, true},
		{"no reply", replyNever, failTimeout, true},
		{"status", "+OK\r\n", failReply, true},
		{"nil", "$-1\r\n", failReply, true},
		{"empty array", "*0\r\n", failReply, true},
		{"too few values", "*3\r\n:1\r\n:1\r\n$2\r\n-1\r\n", failReply, true},
		{"text for numbers", "*4\r\n$1\r\n1\r\n$1\r\n1\r\n$2\r\n-1\r\n$3\r\n0.1\r\n", failReply, true},
		{"numbers for text", "*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n", failReply, true},
		{"nil values", "*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n", failReply, true},
		{"impossible length", "*9223372036854775807\r\n", failReply, true},
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n\r\n", failReply, true},
		{"key of another type", "-WRONGTYPE Operation against a key holding the wrong kind of value", failKey, false},
		{"not a number", "-ERR user_script:41: bad argument #1 to 'max' (number expected, got nil)", failKey, false},
		{"invalid number", "*4\r\n:1\r\n:1\r\n$2\r\n-1\r\n$3\r\nabc\r\n", failReply, false},
		{"negative time", "*4\r\n:1\r\n:1\r\n$2\r\n-1\r\n$4\r\n-9.5\r\n", failReply, false},
		{"full after admission", "*4\r\n:1\r\n:1\r\n$2\r\n-1\r\n$1\r\n0\r\n", failReply, false},
		{"two admitted", "*4\r\n:2\r\n:1\r\n$2\r\n-1\r\n$3\r\n0.2\r\n", failReply, false},
		{"negative admitted", "*4\r\n:-1\r\n:1\r\n$3\r\n0.1\r\n$2\r\n60\r\n", failReply, false},
		{"denied without wait", "*4\r\n:0\r\n:0\r\n$2\r\n-1\r\n$2\r\n60\r\n", failReply, false},
		{"wait too long", "*4\r\n:0\r\n:0\r\n$5\r\n61.01\r\n$2\r\n60\r\n", failReply, false},
		{"missing more than the burst", "*4\r\n:0\r\n:0\r\n$1\r\n1\r\n$5\r\n61.01\r\n", failReply, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withFakeRedis(t, func(s *fixture) {
				if strings.HasPrefix(tt.reply, "-") {
					tt.reply += "\r\n"
				}
				s.redis.setReply(tt.reply)
				for range 10 {
					if d, _ := s.decide(); d.Source != FromLocal || !d.Evaluated {
						t.Fatalf("got %+v, want it from local", d)
					}
				}
				if open := s.Stats().Nodes[0].Open; open != tt.opens {
					t.Errorf("got an open breaker: %t, want %t", open, tt.opens)
				}
				failed, calls := metricValue(t, s.metrics.failures[tt.class]), 10
				if tt.opens {
					calls = failureThreshold
				}
				if failed != calls {
					t.Errorf("counted %d failures of class %s, want %d", failed, tt.class, calls)
				}
				s.redis.setReply(replyFresh)
				time.Sleep(time.Second)
				s.want(1, FromRedis, 0)
			})
		})
	}
}

// replyHook replies instead of a server.
type replyHook func(cmd redis.Cmder) error

func (a replyHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a replyHook) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		err := a(cmd)
		cmd.SetErr(err)
		return err
	}
}

func (a replyHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func newLimiterWithReply(t *testing.T, reply replyHook) *Limiter {
	t.Helper()
	l := newLimiter(t, Options{URL: "redis://fake", Timeout: longTimeout})
	l.upstream.client.Load().AddHook(reply)
	return l
}

// malformations change a reply of the script. The first keeps it.
var malformations = []func(values []any) any{
	func(v []any) any { return v },
	func(v []any) any { return v[:3] },
	func(v []any) any { return append(v, int64(0)) },
	func(v []any) any { v[0] = v[2]; return v },
	func(v []any) any { v[1] = nil; return v },
	func(v []any) any { v[2] = v[0]; return v },
	func(v []any) any { v[3] = []any{v[3]}; return v },
	func(v []any) any { return v[0] },
	func(v []any) any { return v[3] },
	func([]any) any { return []any{} },
	func([]any) any { return nil },
}

// FuzzReply checks that each reply leads to a decision that is possible for the limit.
func FuzzReply(f *testing.F) {
	f.Add(uint8(0), int64(1), int64(599), "-1", "0.1", 600, int64(time.Minute), 600)
	f.Add(uint8(0), int64(0), int64(0), "0.1", "60", 600, int64(time.Minute), 600)
	f.Add(uint8(0), int64(0), int64(0), "1.0999999046326", "60.999999904633", 600, int64(time.Minute), 600)
	f.Add(uint8(0), int64(0), int64(0), "687818966.13609", "687819026.03609", 600, int64(time.Minute), 600)
	f.Add(uint8(0), int64(1), int64(-1<<63), "-1", "nan", 10, int64(time.Second), 10)
	f.Add(uint8(0), int64(-1), int64(0), "-1", "1", 1, int64(limit.MaxPeriod), 1)
	f.Add(uint8(0), int64(1), int64(0), "-1", "1e308", 1, int64(time.Hour), 1)
	f.Add(uint8(0), int64(0), int64(0), "0x1p-2", "inf", 1, int64(time.Hour), 5)
	for i := range malformations {
		f.Add(uint8(i), int64(1), int64(1), "-1", "0.1", 10, int64(time.Second), 10)
	}
	f.Fuzz(func(t *testing.T, malformation uint8, allowed, left int64, retry, reset string,
		rate int, period int64, burst int) {
		limit := limitOf(rate, time.Duration(period), burst)
		if limit.Validate() != nil {
			return
		}
		i := int(malformation) % len(malformations)
		l := newLimiterWithReply(t, func(cmd redis.Cmder) error {
			cmd.(*redis.Cmd).SetVal(malformations[i]([]any{allowed, left, retry, reset}))
			return nil
		})
		d, err := l.Allow(t.Context(), Request{Name: "default", Limit: limit})
		if err != nil || !d.Evaluated {
			t.Fatalf("got %+v, %v", d, err)
		}
		if d.Source == FromLocal {
			if got := metricValue(t, l.metrics.failures[failReply]); got != 1 || !d.Allowed || d.Remaining != burst-1 {
				t.Errorf("got %+v and %d failures, want the first request of a bucket and one failure", d, got)
			}
			return
		}
		longest := limit.Fill() + maxClockSetBack
		switch {
		case i != 0 || allowed != 0 && allowed != 1 || d.Allowed != (allowed == 1):
			t.Errorf("accepted an impossible reply: %+v", d)
		case d.ResetAfter <= 0 || d.ResetAfter > longest || d.Remaining < 0 || d.Remaining > burst:
			t.Errorf("got %+v, but an empty bucket fills in %s", d, limit.Fill())
		case d.Allowed && d.RetryAfter != 0, !d.Allowed && d.Remaining != 0,
			!d.Allowed && (d.RetryAfter < time.Second || d.RetryAfter >= longest+time.Second):
			t.Errorf("got %+v", d)
		}
	})
}

// FuzzRedisError checks that each error has a class, leads to a local decision, and opens the
// breaker unless only the key has a problem.
func FuzzRedisError(f *testing.F) {
	for _, text := range []string{
		"", " ", "ERR", "NOSCRIPT No matching script.", "LOADING Redis is loading", "OOM command not allowed",
		"WRONGTYPE Operation against a key", "ERR user_script:41: bad argument #1 to 'max'", "MOVED  ", "ASK 1 :",
		"MOVED 3999 127.0.0.1:6381", "MOVED 3999 fake:6379", "MOVED 3999 ::1:6379", "MOVEDx", "NOAUTH\r\n",
		"CLUSTERDOWN The cluster is down", "loading", "ERR max number of clients reached",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		err := redisError(text)
		class := classify(err)
		if !slices.Contains(failures, class) || class != classify(errors.Join(err)) {
			t.Fatalf("%q: got class %q", text, class)
		}
		for _, node := range []string{"fake:6379", "[::1]:6379"} {
			b := &breaker{node: node, cluster: true}
			to, moved := redis.IsMovedError(err)
			if b.isRedirect(err) && (class != failCluster || moved && hostPort(to) == node) {
				t.Errorf("%q counts as a redirect by %s", text, node)
			}
			if (&breaker{node: node}).isRedirect(err) {
				t.Errorf("%q counts as a redirect by a single Redis", text)
			}
		}
		l := newLimiterWithReply(t, func(redis.Cmder) error { return err })
		l.upstream.newCluster = nil // do not switch
		calls := failureThreshold
		if (&breaker{}).revealsCluster(err) {
			calls = 1
		}
		for range failureThreshold {
			if d := allow(t, l, Request{Name: "default", Limit: perMinute}); d.Source != FromLocal || !d.Allowed {
				t.Fatalf("%q: got %+v", text, d)
			}
		}
		if got := metricValue(t, l.metrics.failures[class]); got != calls {
			t.Errorf("%q: counted %d failures of class %s, want %d", text, got, class, calls)
		}
		if open := l.Stats().Nodes[0].Open; open != (class != failKey) {
			t.Errorf("%q, of class %s: got an open breaker: %t", text, class, open)
		}
	})
}

// FuzzServer checks that the version is one that INFO contains.
func FuzzServer(f *testing.F) {
	for _, info := range []string{
		"# Server\r\nredis_version:7.4.1\r\nredis_mode:standalone\r\n",
		"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n",
		"valkey_version:9.0.0\nredis_version:7.2.4", "", "redis_version", "redis_version:",
		"redis_version:1\nredis_version:2", "xredis_version:1", " redis_version : 1 ",
	} {
		f.Add(info)
	}
	f.Fuzz(func(t *testing.T, info string) {
		clock := time.Unix(1_800_000_000, 0)
		l := newLimiterWithReply(t, func(cmd redis.Cmder) error {
			switch cmd := cmd.(type) {
			case *redis.TimeCmd:
				cmd.SetVal(clock)
			case *redis.StringCmd:
				cmd.SetVal(info)
			}
			return nil
		})
		server, err := l.server(t.Context())
		if err != nil || !server.Nodes[0].Clock.Equal(clock) {
			t.Fatalf("got %+v, %v", server, err)
		}
		has := func(name string) bool { return strings.Contains(info, name+"_version:"+server.Version) }
		named := server.Name == "redis" || server.Name == "valkey"
		known := server.Version == "" || has("redis") || server.Name == "valkey" && has("valkey")
		if !named || !known || strings.Contains(server.Version, "\n") {
			t.Errorf("%q: got %+v", info, server)
		}
	})
}
