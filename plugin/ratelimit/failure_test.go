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

// running begins the answer of Redis 6.2 if a command of the script fails.
const running = "-ERR Error running script (call to f_3d1ab): @user_script:57: @user_script: 57: "

func TestFailure_ClassAndBreaker(t *testing.T) {
	tests := []struct {
		name, reply string
		class       failure
		opens       bool
	}{
		{"starting", "-LOADING Redis is loading the dataset in memory\r\n", failLoading, true},
		{"busy", "-BUSY Redis is busy running a script.\r\n", failLoading, true},
		{"out of memory", "-OOM command not allowed when used memory > 'maxmemory'.\r\n", failMemory, true},
		{"replica", "-READONLY You can't write against a read only replica. script: 3d1ab, on @user_script:52.\r\n", failReadOnly, true},
		{"cannot save", "-MISCONF Errors writing to the AOF file\r\n", failReadOnly, true},
		{"no password", "-NOAUTH Authentication required.\r\n", failAuth, true},
		{"no permission", "-NOPERM this user has no permissions to run the 'evalsha' command\r\n", failAuth, true},
		{"cluster down", "-CLUSTERDOWN The cluster is down\r\n", failCluster, true},
		{"protected mode", "-DENIED Redis is running in protected mode because protected mode is enabled\r\n", failAuth, true},
		{"a password too many", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n", failAuth, true},
		{"6.2: replica", running + "-READONLY You can't write against a read only replica.\r\n", failReadOnly, true},
		{"6.2: out of memory", running + "-OOM command not allowed when used memory > 'maxmemory'.\r\n", failMemory, true},
		{"6.2: replicas are missing", running + "-NOREPLICAS Not enough good replicas to write.\r\n", failReadOnly, true},
		{"6.2: cannot save", running + "-MISCONF Errors writing to the AOF file: No space left on device\r\n", failReadOnly, true},
		{"6.2: no permission", running + "The user executing the script can't run this command or subcommand\r\n", failAuth, true},
		{"6.2: no permission for the key", running + "The user executing the script can't access at least one of the keys mentioned in the command arguments\r\n", failAuth, true},
		{"6.2: no TIME", running + "Unknown Redis command called from Lua script\r\n", failServer, true},
		{"6.2: TIME makes it random", running + "Write commands not allowed after non deterministic commands. Call redis.replicate_commands()\r\n", failServer, true},
		{"7.0: no permission", "-ERR The user executing the script can't run this command or subcommand script: 3d1ab, on @user_script:22.\r\n", failAuth, true},
		{"7.0: no permission, unified", "-ERR ACL failure in script: User x has no permissions to run the 'set' command script: 3d1ab, on @user_script:57.\r\n", failAuth, true},
		{"7.2: no permission", "-NOPERM ACL failure in script: User x has no permissions to run the 'set' command script: 3d1ab, on @user_script:57.\r\n", failAuth, true},
		{"7.0: no TIME", "-ERR Unknown Redis command called from script script: 3d1ab, on @user_script:22.\r\n", failServer, true},
		{"Dragonfly: replica", "-ERR Error running script (call to 3d1ab): @user_script:57: -READONLY You can't write against a read only replica.\r\n", failReadOnly, true},
		{"6.2: a key of another type", running + "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", failKey, false},
		{"6.2: a key that is no number", "-ERR Error running script (call to f_3d1ab): @user_script:41: user_script:41: bad argument #1 to 'max' (number expected, got nil)\r\n", failKey, false},
		{"6.2: a key that is too large", running + "-ERR value is not an integer or out of range\r\n", failKey, false},
		{"6.2: a key that is far away", running + "-ERR invalid expire time in set\r\n", failKey, false},
		{"7.0: a key that is too large", "-ERR value is not an integer or out of range script: 3d1ab, on @user_script:57.\r\n", failKey, false},
		{"a command that is not known", "-ERR unknown command 'evalsha'\r\n", failServer, true},
		{"a script that it never knows", "-NOSCRIPT No matching script. Please use EVAL.\r\n", failServer, true},
		{"hanging up", replyHangUp, failNetwork, true},
		{"saying nothing", replyNever, failTimeout, true},
		{"a status", "+OK\r\n", failAnswer, true},
		{"nothing at all", "$-1\r\n", failAnswer, true},
		{"an empty array", "*0\r\n", failAnswer, true},
		{"too few values", "*3\r\n:1\r\n:1\r\n$2\r\n-1\r\n", failAnswer, true},
		{"text for numbers", "*4\r\n$1\r\n1\r\n$1\r\n1\r\n$2\r\n-1\r\n$3\r\n0.1\r\n", failAnswer, true},
		{"numbers for text", "*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n", failAnswer, true},
		{"nil values", "*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n", failAnswer, true},
		{"a length that nothing has", "*9223372036854775807\r\n", failAnswer, true},
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n\r\n", failAnswer, true},
		{"a key of another type", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", failKey, false},
		{"a key that is no number", "-ERR user_script:41: bad argument #1 to 'max' (number expected, got nil)\r\n", failKey, false},
		{"text that is no number", "*4\r\n:1\r\n:1\r\n$2\r\n-1\r\n$3\r\nabc\r\n", failAnswer, false},
		{"a time before now", "*4\r\n:1\r\n:1\r\n$2\r\n-1\r\n$4\r\n-9.5\r\n", failAnswer, false},
		{"a full bucket that admits", "*4\r\n:1\r\n:1\r\n$2\r\n-1\r\n$1\r\n0\r\n", failAnswer, false},
		{"two admitted for one", "*4\r\n:2\r\n:1\r\n$2\r\n-1\r\n$3\r\n0.2\r\n", failAnswer, false},
		{"less than none admitted", "*4\r\n:-1\r\n:1\r\n$3\r\n0.1\r\n$2\r\n60\r\n", failAnswer, false},
		{"a denial without a wait", "*4\r\n:0\r\n:0\r\n$2\r\n-1\r\n$2\r\n60\r\n", failAnswer, false},
		{"a wait that the limit does not know", "*4\r\n:0\r\n:0\r\n$5\r\n61.01\r\n$2\r\n60\r\n", failAnswer, false},
		{"a bucket that lacks more than its burst", "*4\r\n:0\r\n:0\r\n$1\r\n1\r\n$5\r\n61.01\r\n", failAnswer, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inOutage(t, func(s *outageSuite) {
				s.redis.answer(tt.reply)
				for range 10 {
					if d, _ := s.decide(); d.Source != FromLocal || !d.Evaluated {
						t.Fatalf("got %+v, want it decided here", d)
					}
				}
				if open := s.Stats().Nodes[0].Open; open != tt.opens {
					t.Errorf("the breaker is open: %t", open)
				}
				failed, calls := count(t, s.metrics.failures[tt.class]), 10
				if tt.opens {
					calls = tolerated
				}
				if failed != calls {
					t.Errorf("counted %d failures of class %s, want %d", failed, tt.class, calls)
				}
				s.redis.answer(replyFresh)
				time.Sleep(time.Second)
				s.want(1, FromRedis, 0)
			})
		})
	}
}

// answering stands where a client would write to its connection.
type answering func(cmd redis.Cmder) error

func (a answering) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a answering) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		err := a(cmd)
		cmd.SetErr(err)
		return err
	}
}

func (a answering) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// newAnswered is a limiter whose Redis answers like this.
func newAnswered(t *testing.T, answer answering) *Limiter {
	t.Helper()
	l := newLimiter(t, Options{URL: "redis://fake", Timeout: patience})
	l.fleet.link.Load().client.AddHook(answer)
	return l
}

// answers that are not the script's, made of one that could be.
var mangled = []func(values []any) any{
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

// Whatever Redis answers, a request is decided, and what is believed of it the limit can lead to.
func FuzzReply(f *testing.F) {
	f.Add(uint8(0), int64(1), int64(599), "-1", "0.1", 600, int64(time.Minute), 600)
	f.Add(uint8(0), int64(0), int64(0), "0.1", "60", 600, int64(time.Minute), 600)
	f.Add(uint8(0), int64(0), int64(0), "1.0999999046326", "60.999999904633", 600, int64(time.Minute), 600)
	f.Add(uint8(0), int64(0), int64(0), "687818966.13609", "687819026.03609", 600, int64(time.Minute), 600)
	f.Add(uint8(0), int64(1), int64(-1<<63), "-1", "nan", 10, int64(time.Second), 10)
	f.Add(uint8(0), int64(-1), int64(0), "-1", "1", 1, int64(limit.MaxPeriod), 1)
	f.Add(uint8(0), int64(1), int64(0), "-1", "1e308", 1, int64(time.Hour), 1)
	f.Add(uint8(0), int64(0), int64(0), "0x1p-2", "inf", 1, int64(time.Hour), 5)
	for i := range mangled {
		f.Add(uint8(i), int64(1), int64(1), "-1", "0.1", 10, int64(time.Second), 10)
	}
	f.Fuzz(func(t *testing.T, mangle uint8, allowed, left int64, retry, reset string, rate int, period int64, burst int) {
		limit := limitOf(rate, time.Duration(period), burst)
		if limit.Validate() != nil {
			return
		}
		i := int(mangle) % len(mangled)
		l := newAnswered(t, func(cmd redis.Cmder) error {
			cmd.(*redis.Cmd).SetVal(mangled[i]([]any{allowed, left, retry, reset}))
			return nil
		})
		d, err := l.Allow(t.Context(), Request{Name: "default", Limit: limit})
		if err != nil || !d.Evaluated {
			t.Fatalf("got %+v, %v", d, err)
		}
		if d.Source == FromLocal {
			if got := count(t, l.metrics.failures[failAnswer]); got != 1 || !d.Allowed || d.Remaining != burst-1 {
				t.Errorf("got %+v, and %d failures counted, want the first of a full bucket and one", d, got)
			}
			return
		}
		longest := limit.Fill() + maxSetBack
		switch {
		case i != 0 || allowed != 0 && allowed != 1 || d.Allowed != (allowed == 1):
			t.Errorf("took it for an answer: %+v", d)
		case d.ResetAfter <= 0 || d.ResetAfter > longest || d.Remaining < 0 || d.Remaining > burst:
			t.Errorf("got %+v of a bucket that is full after %s", d, limit.Fill())
		case d.Allowed && d.RetryAfter != 0, !d.Allowed && (d.Remaining != 0 || d.RetryAfter < time.Second || d.RetryAfter >= longest+time.Second):
			t.Errorf("got %+v", d)
		}
	})
}

// Whatever error Redis answers has one class, a request is decided without it, and three
// of those that do not concern the key alone open the breaker.
func FuzzRedisError(f *testing.F) {
	for _, text := range []string{
		"", " ", "ERR", "NOSCRIPT No matching script.", "LOADING Redis is loading", "OOM command not allowed", "WRONGTYPE Operation against a key",
		"ERR user_script:41: bad argument #1 to 'max'", "MOVED 3999 127.0.0.1:6381", "MOVED 3999 fake:6379", "MOVED 3999 ::1:6379", "MOVED  ", "ASK 1 :",
		"CLUSTERDOWN The cluster is down", "MOVEDx", "NOAUTH\r\n", "loading", "ERR max number of clients reached",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		err := redisError(text)
		class := classify(err)
		if !slices.Contains(failures, class) || class != classify(errors.Join(err)) {
			t.Fatalf("%q is of class %q", text, class)
		}
		for _, node := range []string{"fake:6379", "[::1]:6379"} {
			b := &breaker{node: node, cluster: true}
			if to, moved := redis.IsMovedError(err); b.isRedirect(err) && (class != failCluster || moved && hostPort(to) == node) {
				t.Errorf("%q sends %s elsewhere", text, node)
			}
			if (&breaker{node: node}).isRedirect(err) {
				t.Errorf("%q redirects where there is no Cluster", text)
			}
		}
		l := newAnswered(t, func(redis.Cmder) error { return err })
		l.fleet.cluster = nil // it stays with the one that it asks
		asked := tolerated
		if (&breaker{}).isElsewhere(err) {
			asked = 1
		}
		for range tolerated {
			if d, err := l.Allow(t.Context(), Request{Name: "default", Limit: perMinute}); err != nil || d.Source != FromLocal || !d.Allowed {
				t.Fatalf("%q: got %+v, %v", text, d, err)
			}
		}
		if got := count(t, l.metrics.failures[class]); got != asked {
			t.Errorf("%q: counted %d of class %s", text, got, class)
		}
		if open := l.Stats().Nodes[0].Open; open != (class != failKey) {
			t.Errorf("%q, of class %s: the breaker is open: %t", text, class, open)
		}
	})
}

// A version is of one of the lines that Redis answers, and a name one of two.
func FuzzServer(f *testing.F) {
	for _, info := range []string{
		"# Server\r\nredis_version:7.4.1\r\nredis_mode:standalone\r\n", "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n",
		"valkey_version:9.0.0\nredis_version:7.2.4", "", "redis_version", "redis_version:", "redis_version:1\nredis_version:2", "xredis_version:1", " redis_version : 1 ",
	} {
		f.Add(info)
	}
	f.Fuzz(func(t *testing.T, info string) {
		clock := time.Unix(1_800_000_000, 0)
		l := newAnswered(t, func(cmd redis.Cmder) error {
			switch cmd := cmd.(type) {
			case *redis.TimeCmd:
				cmd.SetVal(clock)
			case *redis.StringCmd:
				cmd.SetVal(info)
			}
			return nil
		})
		server, err := l.askServer(t.Context())
		if err != nil || !server.Clock.Equal(clock) {
			t.Fatalf("got %+v, %v", server, err)
		}
		says := func(name string) bool { return strings.Contains(info, name+"_version:"+server.Version) }
		named := server.Name == "redis" || server.Name == "valkey"
		known := server.Version == "" || says("redis") || server.Name == "valkey" && says("valkey")
		if !named || !known || strings.Contains(server.Version, "\n") {
			t.Errorf("%q makes %+v", info, server)
		}
	})
}
