package ratelimit

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCluster_FoundFromOneAddress(t *testing.T) {
	for _, seed := range []string{"a:1", "b:1", "c:1"} { // c is a replica, without slots
		t.Run(seed, func(t *testing.T) {
			withFakeClusterAt(t, "redis://"+seed, func(c *fakeCluster) {
				c.wantAllFrom(FromRedis)
				c.wantFrom(FromRedis, 0)
				if lines := c.log.all(); len(lines) != 1 || !strings.Contains(lines[0], "all its nodes") {
					t.Errorf("logged %q", lines)
				}
				nodes := c.Stats().Nodes
				if len(nodes) < 2 || openBreakers(c.Stats()) != 0 {
					t.Errorf("got the nodes %+v", nodes)
				}
			})
		})
	}
}

func TestCluster_FoundDuringAnOutage(t *testing.T) {
	withFakeClusterAt(t, "redis://a:1", func(c *fakeCluster) {
		c.nodes["a:1"].refuse()
		c.wantFrom(FromLocal, 0)
		c.promote("c:1", 0)
		c.restore("a:1") // as a replica: it redirects the probe
		time.Sleep(time.Second)
		c.wantAllFrom(FromRedis)
		if got := openBreakers(c.Stats()); got != 0 {
			t.Errorf("%d breakers are open", got)
		}
	})
}

func TestCluster_SlotsDeniedIsLogged(t *testing.T) {
	withFakeClusterAt(t, "redis://a:1", func(c *fakeCluster) {
		c.nodes["a:1"].replyWith(func(args []string) string {
			if args[0] == "cluster" {
				return "-NOPERM this user has no permissions to run the 'cluster|slots' command\r\n"
			}
			return "-MOVED 1 b:1\r\n"
		})
		c.wantFrom(FromLocal, 0)
		time.Sleep(time.Minute)
		c.wantFrom(FromLocal, 0)
		lines := c.log.all()
		if len(lines) != 2 || !strings.Contains(lines[1], "cluster|slots") ||
			!strings.Contains(lines[1], "class=auth") {
			t.Errorf("logged %q, want the Cluster and the missing permission", lines)
		}
		c.restore("a:1")
		time.Sleep(time.Second)
		c.wantAllFrom(FromRedis)
	})
}

func TestCluster_NodeOnSocketIsLogged(t *testing.T) {
	withFakeRedisOptions(t, Options{URL: "unix:///run/redis.sock"}, func(s *fixture) {
		s.redis.replyWith(func(args []string) string {
			if s.redis.scripts.Load()%2 == 0 || strings.HasSuffix(args[3], ":probe") {
				return "-MOVED 16383 127.0.0.1:6381\r\n"
			}
			return replyFresh
		})
		var from []Source
		for i := range 32 {
			from = append(from, s.allow(Request{Bucket: [32]byte{byte(i)}, Limit: perMinute}).Source)
		}
		if i := slices.Index(from, FromLocal); i < 0 || slices.Contains(from[i:], FromRedis) {
			t.Errorf("sources %s, want no redis after the first redirect", from)
		}
		time.Sleep(time.Minute)
		if lines := s.log.all(); len(lines) != 1 || !strings.Contains(lines[0], "class=cluster") {
			t.Errorf("logged %q", lines)
		}
	})
}
