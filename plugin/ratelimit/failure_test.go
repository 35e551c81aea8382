package ratelimit

import (
	"testing"
	"time"
)

func TestWhatCountsAsAFailure(t *testing.T) {
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
		{"a node of a cluster that the URL does not say is one", "-MOVED 3999 127.0.0.1:6381\r\n", failCluster, true},
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
