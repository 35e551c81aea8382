package ratelimit

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCluster_FoundFromOneAddress(t *testing.T) {
	for _, seed := range []string{"a:1", "b:1", "c:1"} { // c is a replica, which has no key at all
		t.Run(seed, func(t *testing.T) {
			inClusterAt(t, "redis://"+seed, func(c *fakeCluster) {
				c.wantFrom(FromRedis, 0)
				c.wantFrom(FromRedis, 1)
				c.wantFrom(FromRedis, 0)
				if lines := c.journal.all(); len(lines) != 1 || !strings.Contains(lines[0], "all its nodes are asked") {
					t.Errorf("logged %q", lines)
				}
				nodes := c.Stats().Nodes
				if len(nodes) < 2 || count(t, c.metrics.open) != 0 {
					t.Errorf("has the nodes %+v", nodes)
				}
			})
		})
	}
}

func TestCluster_FoundDuringAnOutage(t *testing.T) {
	inClusterAt(t, "redis://a:1", func(c *fakeCluster) {
		c.nodes["a:1"].refuse()
		c.wantFrom(FromLocal, 0)
		c.promote("c:1", 0)
		c.mend("a:1") // which is a replica now: its probe is told of another
		time.Sleep(time.Second)
		c.wantFrom(FromRedis, 0)
		c.wantFrom(FromRedis, 1)
		if got := count(t, c.metrics.open); got != 0 {
			t.Errorf("%d breakers are open", got)
		}
	})
}

func TestCluster_SlotsDeniedIsLogged(t *testing.T) {
	inClusterAt(t, "redis://a:1", func(c *fakeCluster) {
		c.nodes["a:1"].answerBy(func(args []string) string {
			if args[0] == "cluster" {
				return "-NOPERM this user has no permissions to run the 'cluster|slots' command\r\n"
			}
			return "-MOVED 1 b:1\r\n"
		})
		c.wantFrom(FromLocal, 0)
		time.Sleep(time.Minute)
		c.wantFrom(FromLocal, 0)
		if lines := c.journal.all(); len(lines) != 2 || !strings.Contains(lines[1], "cluster|slots") || !strings.Contains(lines[1], "class=auth") {
			t.Errorf("logged %q, want that it is a Cluster and what keeps it from being one", lines)
		}
		c.mend("a:1")
		time.Sleep(time.Second)
		c.wantFrom(FromRedis, 0)
		c.wantFrom(FromRedis, 1)
	})
}

func TestCluster_NodeOnSocketIsLogged(t *testing.T) {
	inOutageAt(t, "unix:///run/redis.sock", func(s *outageSuite) {
		s.redis.answerBy(func(args []string) string {
			if s.redis.scripts.Load()%2 == 0 || strings.HasSuffix(args[3], ":probe") {
				return "-MOVED 16383 127.0.0.1:6381\r\n"
			}
			return replyFresh
		})
		var from []Source
		for i := range 32 {
			from = append(from, s.ask(Request{Name: "default", Bucket: [32]byte{byte(i)}, Limit: perMinute}).Source)
		}
		if i := slices.Index(from, FromLocal); i < 0 || slices.Contains(from[i:], FromRedis) {
			t.Errorf("decided by %s: want none by redis once it has sent one away", from)
		}
		time.Sleep(time.Minute)
		if lines := s.journal.all(); len(lines) != 1 || !strings.Contains(lines[0], "class=cluster") {
			t.Errorf("logged %q", lines)
		}
	})
}
