package ratelimit

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMasterThatSentinelNamesDecides(t *testing.T) {
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
		journal := newJournal()
		s := &outageSuite{T: t, journal: journal}
		t.Cleanup(func() { time.Sleep(time.Minute) }) // what go-redis listens with ends a moment after Close
		s.Limiter = newLimiter(t, Options{URL: "redis://s:1/0?master_name=main", Logger: journal.logger(), dial: dial})

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
