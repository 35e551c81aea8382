package ratelimit

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// fakeCluster is a Cluster of two masters, a and b, with half of the slots each, and a replica, c.
type fakeCluster struct {
	fixture
	nodes map[string]*fakeRedis // by address

	mu      sync.Mutex
	masters [2]string // of the lower and the upper half of the slots
}

// promote makes a node the master of a half of the slots. The others redirect to it.
func (c *fakeCluster) promote(addr string, which int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.masters[which] = addr
}

func (c *fakeCluster) master(which int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.masters[which]
}

func withFakeCluster(t *testing.T, test func(c *fakeCluster)) {
	t.Helper()
	withFakeClusterAt(t, "redis://a:1,b:1", test)
}

func withFakeClusterAt(t *testing.T, url string, test func(c *fakeCluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &fakeCluster{nodes: map[string]*fakeRedis{}, masters: [2]string{"a:1", "b:1"}}
		for _, addr := range []string{"a:1", "b:1", "c:1"} {
			c.nodes[addr] = newFakeRedis("")
			c.restore(addr)
		}
		c.T, c.log = t, newLogRecorder()
		t.Cleanup(func() { time.Sleep(time.Second) }) // go-redis reloads slots in the background
		c.Limiter = newLimiter(t, Options{URL: url, Logger: c.log.logger(), dial: dialAny(c.nodes)})
		test(c)
	})
}

// dialAny dials the fake with the address.
func dialAny(nodes map[string]*fakeRedis) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return nodes[addr].dial(ctx, network, addr)
	}
}

// restore makes a node answer like a node of the Cluster.
func (c *fakeCluster) restore(addr string) {
	c.nodes[addr].replyWith(func(args []string) string {
		if args[0] == "cluster" {
			return c.slots()
		}
		if master := c.master(half(args[3])); master != addr {
			return "-MOVED 1 " + master + "\r\n"
		}
		return replyFresh
	})
}

func (c *fakeCluster) slots() string {
	var s strings.Builder
	s.WriteString("*2\r\n")
	for i := range c.masters {
		host, port, _ := net.SplitHostPort(c.master(i))
		fmt.Fprintf(&s, "*3\r\n:%d\r\n:%d\r\n*2\r\n$%d\r\n%s\r\n:%s\r\n", i*8192, i*8192+8191, len(host), host, port)
	}
	return s.String()
}

// half returns 0 or 1 for a key whose slot is in the lower or upper half.
func half(key string) int {
	_, tag, _ := strings.Cut(key, "{")
	tag, _, _ = strings.Cut(tag, "}")
	var crc uint16
	for _, c := range []byte(tag) {
		crc ^= uint16(c) << 8
		for range 8 {
			carry := crc >> 15
			crc = crc<<1 ^ carry*0x1021
		}
	}
	return int(crc % 16384 / 8192)
}

// wantHalfFrom makes 20 decisions for buckets in a half. Each must have this source.
func wantHalfFrom(t *testing.T, l *Limiter, which int, source Source) {
	t.Helper()
	made := 0
	for made < 20 {
		r := another()
		if half(keyOf(r)) != which {
			continue
		}
		d, err := l.Allow(t.Context(), r)
		if err != nil || d.Source != source {
			t.Errorf("decision %d in half %d: got %+v, %v; want it from %s", made+1, which, d, err, source)
			return
		}
		made++
	}
}

func (c *fakeCluster) wantFrom(source Source, which int) {
	c.Helper()
	wantHalfFrom(c.T, c.Limiter, which, source)
}

func (c *fakeCluster) wantAllFrom(source Source) {
	c.Helper()
	c.wantFrom(source, 0)
	c.wantFrom(source, 1)
}

func TestCluster_DeadNodeMakesOnlyItsKeysLocal(t *testing.T) {
	withFakeCluster(t, func(c *fakeCluster) {
		c.wantAllFrom(FromRedis)
		c.nodes["b:1"].setReply("-LOADING\r\n")
		c.wantFrom(FromLocal, 1)
		start := time.Now()
		for range 10 {
			c.wantFrom(FromRedis, 0)
			c.wantFrom(FromLocal, 1)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("400 decisions with a dead node took %s", took)
		}
		if lines := c.log.all(); len(lines) != 1 || !strings.Contains(lines[0], "node=b:1") {
			t.Errorf("logged %q", lines)
		}
		c.restore("b:1")
		time.Sleep(time.Second)
		c.wantFrom(FromRedis, 1)
	})
}

func TestCluster_HangingNodeDelaysThreeCalls(t *testing.T) {
	withFakeCluster(t, func(c *fakeCluster) {
		c.wantAllFrom(FromRedis)
		c.nodes["b:1"].setReply(replyNever)
		start := time.Now()
		c.wantFrom(FromLocal, 1)
		if took := time.Since(start); took != 3*defaultTimeout {
			t.Errorf("20 decisions of a hanging node took %s, want three timeouts", took)
		}
		c.wantFrom(FromRedis, 0)
	})
}

func TestCluster_FollowsMovedSlots(t *testing.T) {
	withFakeCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 1)
		c.promote("c:1", 1)
		c.wantFrom(FromRedis, 1)
		if lines := c.log.all(); len(lines) != 0 {
			t.Errorf("logged %q, but a redirect is not a failure", lines)
		}
	})
}

func TestCluster_RedirectsAreNotFailures(t *testing.T) {
	withFakeCluster(t, func(c *fakeCluster) {
		stale := c.slots()
		c.promote("c:1", 1)
		for addr, node := range c.nodes {
			node.replyWith(func(args []string) string {
				if args[0] == "cluster" {
					return stale // so that each call goes to b first
				}
				if master := c.master(half(args[3])); master != addr {
					return "-MOVED 1 " + master + "\r\n"
				}
				return replyFresh
			})
		}
		c.wantFrom(FromRedis, 1)
		if got := c.nodes["b:1"].scripts.Load(); got != 20 {
			t.Errorf("called b %d times, want 20", got)
		}
	})
}

func TestCluster_RedirectToSelfOpensBreaker(t *testing.T) {
	withFakeCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 1)
		before := c.nodes["b:1"].scripts.Load()
		c.nodes["b:1"].replyWith(func(args []string) string {
			if args[0] == "cluster" {
				return c.slots()
			}
			return "-MOVED 1 b:1\r\n"
		})
		c.wantFrom(FromLocal, 1)
		if got := c.nodes["b:1"].scripts.Load() - before; got != failureThreshold {
			t.Errorf("called b %d times, want %d", got, failureThreshold)
		}
		time.Sleep(time.Minute)
		c.wantFrom(FromLocal, 1)
		c.wantFrom(FromRedis, 0)
		lines := c.log.all()
		if len(lines) != 1 || !strings.Contains(lines[0], "node=b:1") || !strings.Contains(lines[0], "class=cluster") {
			t.Errorf("logged %q", lines)
		}
		c.restore("b:1")
		time.Sleep(time.Second)
		c.wantFrom(FromRedis, 1)
	})
}

func TestBreaker_SlotsReplyResetsNothing(t *testing.T) {
	withFakeCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 1)
		var b *breaker
		for _, b = range c.upstream.breakers {
			if b.node == "b:1" {
				break
			}
		}
		script, slots := redis.NewCmd(c.Context(), "evalsha"), redis.NewCmd(c.Context(), "cluster", "slots")
		for range failureThreshold {
			b.record(b.epoch.Load(), script, context.DeadlineExceeded)
			b.record(b.epoch.Load(), slots, nil)
		}
		c.wantFrom(FromLocal, 1)
	})
}

func TestCluster_FindsPromotedReplica(t *testing.T) {
	withFakeCluster(t, func(c *fakeCluster) {
		c.wantAllFrom(FromRedis)
		c.nodes["b:1"].setReply(replyClose)
		c.wantFrom(FromLocal, 1)
		c.promote("c:1", 1)
		time.Sleep(3 * time.Second)
		c.wantAllFrom(FromRedis)
	})
}

func TestCluster_DownAtStart(t *testing.T) {
	withFakeCluster(t, func(c *fakeCluster) {
		for _, node := range c.nodes {
			node.setReply(replyNever)
		}
		c.wantFrom(FromLocal, 0)
		start := time.Now()
		c.wantFrom(FromLocal, 0)
		c.wantFrom(FromLocal, 1)
		if took := time.Since(start); took != 0 {
			t.Errorf("40 decisions without a Cluster took %s", took)
		}
		for addr := range c.nodes {
			c.restore(addr)
		}
		time.Sleep(2 * time.Second)
		c.wantAllFrom(FromRedis)
	})
}

func TestCluster_ForgetsRemovedNode(t *testing.T) {
	withFakeCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 1)
		c.nodes["b:1"].setReply(replyClose)
		c.wantFrom(FromLocal, 1)
		c.promote("c:1", 1)
		for range 10 {
			time.Sleep(time.Minute)
			c.wantFrom(FromRedis, 1)
		}
		for _, n := range c.Stats().Nodes {
			if n.Node == "b:1" {
				t.Errorf("still has %+v", n)
			}
		}
		if got := openBreakers(c.Stats()); got != 0 {
			t.Errorf("%d breakers are open", got)
		}
	})
}

func TestHostPort_NormalizesIPv6(t *testing.T) {
	for _, spelling := range []string{"::1:7000", "[::1]:7000"} {
		if got := hostPort(spelling); got != "[::1]:7000" {
			t.Errorf("%s: got %s", spelling, got)
		}
	}
	if got := hostPort("redis:7000"); got != "redis:7000" {
		t.Errorf("got %s for a host name", got)
	}
}

// withFakeSentinel runs a test with a Sentinel, s:1, whose master is a:1 until elect is called.
func withFakeSentinel(t *testing.T, test func(s *fixture, nodes map[string]*fakeRedis, elect func(host string))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var master atomic.Pointer[string]
		elect := func(host string) { master.Store(&host) }
		elect("a")
		nodes := map[string]*fakeRedis{
			"s:1": newFakeRedis(""), "a:1": newFakeRedis(replyFresh), "b:1": newFakeRedis(replyFresh),
		}
		nodes["s:1"].replyWith(func(args []string) string {
			switch {
			case args[0] == "subscribe":
				return replyNever
			case strings.Join(args, " ") == "sentinel get-master-addr-by-name main":
				return fmt.Sprintf("*2\r\n$1\r\n%s\r\n$1\r\n1\r\n", *master.Load())
			}
			return "*0\r\n"
		})
		s := &fixture{T: t, log: newLogRecorder()}
		t.Cleanup(func() { time.Sleep(time.Minute) }) // go-redis's subscription ends after Close
		o := Options{URL: "redis://s:1/0?master_name=main", Logger: s.log.logger(), dial: dialAny(nodes)}
		s.Limiter = newLimiter(t, o)
		test(s, nodes, elect)
	})
}

func TestSentinel_FollowsElectedMaster(t *testing.T) {
	withFakeSentinel(t, func(s *fixture, nodes map[string]*fakeRedis, elect func(host string)) {
		s.want(5, FromRedis, 0)
		if got := nodes["a:1"].scripts.Load(); got != 5 {
			t.Fatalf("called the master %d times, want 5", got)
		}
		elect("b")
		nodes["a:1"].setReply("-READONLY You can't write against a read only replica.\r\n")
		s.want(1, FromLocal, 0)
		s.want(5, FromRedis, 0)
		if got := nodes["b:1"].scripts.Load(); got != 5 {
			t.Errorf("called the new master %d times, want 5", got)
		}
		if node := s.Stats().Nodes[0].Node; node != "main" {
			t.Errorf("got the node name %q, want main", node)
		}
	})
}
