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

// fakeCluster is a Cluster of three fakes, of which a and b hold half of the slots each, and c is a replica.
type fakeCluster struct {
	outageSuite
	nodes map[string]*fakeRedis // by address

	mu      sync.Mutex
	masters [2]string // of the lower and of the upper half
}

// promote makes a node the master of a half, which the others say from then on.
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

func inCluster(t *testing.T, test func(c *fakeCluster)) {
	t.Helper()
	inClusterAt(t, "redis://a:1,b:1", test)
}

func inClusterAt(t *testing.T, url string, test func(c *fakeCluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &fakeCluster{nodes: map[string]*fakeRedis{}, masters: [2]string{"a:1", "b:1"}}
		for _, addr := range []string{"a:1", "b:1", "c:1"} {
			c.nodes[addr] = newFakeRedis("")
			c.mend(addr)
		}
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			return c.nodes[addr].dial(ctx, network, addr)
		}
		c.T, c.journal = t, newJournal()
		t.Cleanup(func() { time.Sleep(time.Second) }) // a reload of slots that go-redis began ends a moment after Close
		c.Limiter = newLimiter(t, Options{URL: url, Logger: c.journal.logger(), dial: dial})
		test(c)
	})
}

// mend makes a node answer as one of the Cluster does.
func (c *fakeCluster) mend(addr string) {
	c.nodes[addr].answerBy(func(args []string) string {
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

// half is the half that a key's slot is in: 0 or 1.
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

// wantHalfFrom asks 20 times for buckets of a half, and says who is to decide.
func wantHalfFrom(t *testing.T, l *Limiter, which int, source Source) {
	t.Helper()
	asked := 0
	for i := 0; asked < 20; i++ {
		b := bucket{"default", [32]byte{byte(i), byte(i >> 8)}, perMinute}
		if half(b.key("")) != which {
			continue
		}
		d, err := l.Allow(t.Context(), Request{Name: b.name, Bucket: b.owner, Limit: b.limit})
		if err != nil || d.Source != source {
			t.Errorf("decision %d about half %d: got %+v, %v; want it from %s", asked+1, which, d, err, source)
			return
		}
		asked++
	}
}

func (c *fakeCluster) wantFrom(source Source, which int) {
	c.Helper()
	wantHalfFrom(c.T, c.Limiter, which, source)
}

func TestCluster_DeadNodeMakesOnlyItsKeysLocal(t *testing.T) {
	inCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 0)
		c.wantFrom(FromRedis, 1)
		c.nodes["b:1"].answer("-LOADING\r\n")
		c.wantFrom(FromLocal, 1)
		start := time.Now()
		for range 10 {
			c.wantFrom(FromRedis, 0)
			c.wantFrom(FromLocal, 1)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("400 decisions beside a dead shard took %s", took)
		}
		if lines := c.journal.all(); len(lines) != 1 || !strings.Contains(lines[0], "node=b:1") {
			t.Errorf("logged %q", lines)
		}
		c.mend("b:1")
		time.Sleep(time.Second)
		c.wantFrom(FromRedis, 1)
	})
}

func TestCluster_HangingNodeDelaysThreeCalls(t *testing.T) {
	inCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 0)
		c.wantFrom(FromRedis, 1)
		c.nodes["b:1"].answer(replyNever)
		start := time.Now()
		c.wantFrom(FromLocal, 1)
		if took := time.Since(start); took != 3*defaultTimeout {
			t.Errorf("20 decisions about a mute shard took %s, want three timeouts", took)
		}
		c.wantFrom(FromRedis, 0)
	})
}

func TestCluster_FollowsMovedSlots(t *testing.T) {
	inCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 1)
		c.promote("c:1", 1) // b answers -MOVED from now on
		c.wantFrom(FromRedis, 1)
		if lines := c.journal.all(); len(lines) != 0 {
			t.Errorf("a redirect is no failure: logged %q", lines)
		}
	})
}

func TestCluster_RedirectsAreNotFailures(t *testing.T) {
	inCluster(t, func(c *fakeCluster) {
		stale := c.slots()
		c.promote("c:1", 1)
		for addr, node := range c.nodes {
			node.answerBy(func(args []string) string {
				if args[0] == "cluster" {
					return stale // so that b is asked first, for ever
				}
				if master := c.master(half(args[3])); master != addr {
					return "-MOVED 1 " + master + "\r\n"
				}
				return replyFresh
			})
		}
		c.wantFrom(FromRedis, 1)
		if got := c.nodes["b:1"].scripts.Load(); got != 20 {
			t.Errorf("b was asked %d times, want 20", got)
		}
	})
}

func TestCluster_RedirectToSelfOpensBreaker(t *testing.T) {
	inCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 1)
		asked := c.nodes["b:1"].scripts.Load()
		c.nodes["b:1"].answerBy(func(args []string) string {
			if args[0] == "cluster" {
				return c.slots()
			}
			return "-MOVED 1 b:1\r\n"
		})
		c.wantFrom(FromLocal, 1)
		if got := c.nodes["b:1"].scripts.Load() - asked; got != tolerated {
			t.Errorf("it was asked %d times, want %d", got, tolerated)
		}
		time.Sleep(time.Minute) // its probes find nothing else
		c.wantFrom(FromLocal, 1)
		c.wantFrom(FromRedis, 0)
		if lines := c.journal.all(); len(lines) != 1 || !strings.Contains(lines[0], "node=b:1") || !strings.Contains(lines[0], "class=cluster") {
			t.Errorf("logged %q", lines)
		}
		c.mend("b:1")
		time.Sleep(time.Second)
		c.wantFrom(FromRedis, 1)
	})
}

func TestBreaker_SlotsReplyResetsNothing(t *testing.T) {
	inCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 1)
		var b *breaker
		for _, b = range c.fleet.breakers {
			if b.node == "b:1" {
				break
			}
		}
		script, slots := redis.NewCmd(c.Context(), "evalsha"), redis.NewCmd(c.Context(), "cluster", "slots")
		for range tolerated {
			b.record(b.epoch.Load(), script, context.DeadlineExceeded)
			b.record(b.epoch.Load(), slots, nil)
		}
		c.wantFrom(FromLocal, 1)
	})
}

func TestCluster_FindsPromotedReplica(t *testing.T) {
	inCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 0)
		c.wantFrom(FromRedis, 1)
		c.nodes["b:1"].answer(replyHangUp)
		c.wantFrom(FromLocal, 1)
		c.promote("c:1", 1) // the Cluster has noticed; b stays dead
		time.Sleep(3 * time.Second)
		c.wantFrom(FromRedis, 1)
		c.wantFrom(FromRedis, 0)
	})
}

func TestCluster_DownAtStart(t *testing.T) {
	inCluster(t, func(c *fakeCluster) {
		for _, node := range c.nodes {
			node.answer(replyNever)
		}
		c.wantFrom(FromLocal, 0)
		start := time.Now()
		c.wantFrom(FromLocal, 0)
		c.wantFrom(FromLocal, 1)
		if took := time.Since(start); took != 0 {
			t.Errorf("40 decisions without a Cluster took %s", took)
		}
		for addr := range c.nodes {
			c.mend(addr)
		}
		time.Sleep(2 * time.Second)
		c.wantFrom(FromRedis, 0)
		c.wantFrom(FromRedis, 1)
	})
}

func TestCluster_ForgetsRemovedNode(t *testing.T) {
	inCluster(t, func(c *fakeCluster) {
		c.wantFrom(FromRedis, 1)
		c.nodes["b:1"].answer(replyHangUp)
		c.wantFrom(FromLocal, 1)
		c.promote("c:1", 1)
		for range 10 { // minutes
			time.Sleep(time.Minute)
			c.wantFrom(FromRedis, 1)
		}
		for _, n := range c.Stats().Nodes {
			if n.Node == "b:1" {
				t.Errorf("still probes %+v", n)
			}
		}
		if got := count(t, c.metrics.open); got != 0 {
			t.Errorf("%d breakers are open", got)
		}
	})
}

func TestHostPort_NormalizesIPv6(t *testing.T) {
	for _, spelling := range []string{"::1:7000", "[::1]:7000"} {
		if got := hostPort(spelling); got != "[::1]:7000" {
			t.Errorf("%s is %s", spelling, got)
		}
	}
	if got := hostPort("redis:7000"); got != "redis:7000" {
		t.Errorf("a name is %s", got)
	}
}

// inSentinels runs a test with a Sentinel, s:1, that names the master main: a:1 until elect is called.
func inSentinels(t *testing.T, test func(s *outageSuite, nodes map[string]*fakeRedis, elect func(host string))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var master atomic.Pointer[string]
		elect := func(host string) { master.Store(&host) }
		elect("a")
		nodes := map[string]*fakeRedis{"s:1": newFakeRedis(""), "a:1": newFakeRedis(replyFresh), "b:1": newFakeRedis(replyFresh)}
		nodes["s:1"].answerBy(func(args []string) string {
			switch {
			case args[0] == "subscribe":
				return replyNever
			case strings.Join(args, " ") == "sentinel get-master-addr-by-name main":
				return fmt.Sprintf("*2\r\n$1\r\n%s\r\n$1\r\n1\r\n", *master.Load())
			}
			return "*0\r\n"
		})
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			return nodes[addr].dial(ctx, network, addr)
		}
		s := &outageSuite{T: t, journal: newJournal()}
		t.Cleanup(func() { time.Sleep(time.Minute) }) // what go-redis listens with ends a moment after Close
		s.Limiter = newLimiter(t, Options{URL: "redis://s:1/0?master_name=main", Logger: s.journal.logger(), dial: dial})
		test(s, nodes, elect)
	})
}

func TestSentinel_FollowsElectedMaster(t *testing.T) {
	inSentinels(t, func(s *outageSuite, nodes map[string]*fakeRedis, elect func(host string)) {
		s.want(5, FromRedis, 0)
		if got := nodes["a:1"].scripts.Load(); got != 5 {
			t.Fatalf("the master was asked %d times, want 5", got)
		}
		elect("b")
		nodes["a:1"].answer("-READONLY You can't write against a read only replica.\r\n")
		s.want(1, FromLocal, 0)
		s.want(5, FromRedis, 0)
		if got := nodes["b:1"].scripts.Load(); got != 5 {
			t.Errorf("the new master was asked %d times, want 5", got)
		}
		if node := s.Stats().Nodes[0].Node; node != "main" {
			t.Errorf("the node is called %q", node)
		}
	})
}
