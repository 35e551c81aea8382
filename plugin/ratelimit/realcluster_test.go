package ratelimit

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/internal/devserver"
)

// clusterNode is one master of a real Cluster.
type clusterNode struct {
	*devserver.Redis
	*redis.Client
	port, bus string
}

func startClusterNode(t *testing.T) *clusterNode {
	t.Helper()
	n := &clusterNode{port: freePort(t), bus: freePort(t)}
	n.Redis = startRedis(t, openDir(t), map[string]string{
		"port": n.port, "cluster-port": n.bus, "bind": "127.0.0.1",
		"cluster-enabled": "yes", "cluster-require-full-coverage": "no", "cluster-config-file": "nodes.conf",
	})
	n.Client = adminClient(t, n.URL())
	return n
}

// openDir returns a temporary directory that the server can enter: if the test runs as root, the
// server runs as another user.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hoko-redis-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func startRedis(t *testing.T, dir string, settings map[string]string) *devserver.Redis {
	t.Helper()
	o := devserver.RedisOptions{Dir: filepath.Join(dir, "redis"), Settings: settings}
	server, err := devserver.StartRedis(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return server
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// awaitCluster waits until a node knows the whole Cluster.
func (n *clusterNode) awaitCluster(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(longTimeout); ; {
		info := n.ClusterInfo(t.Context()).Val()
		if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the Cluster is not complete: %s", info)
		}
		command(t, n.Client, "WAIT", 1, 50) // sleeps for 50 ms
	}
}

// startCluster starts a Cluster of two masters.
func startCluster(t *testing.T) [2]*clusterNode {
	t.Helper()
	nodes := [2]*clusterNode{startClusterNode(t), startClusterNode(t)}
	for i, n := range nodes {
		command(t, n.Client, "CLUSTER", "ADDSLOTSRANGE", i*8192, i*8192+8191)
	}
	command(t, nodes[0].Client, "CLUSTER", "MEET", "127.0.0.1", nodes[1].port, nodes[1].bus)
	for _, n := range nodes {
		n.awaitCluster(t)
	}
	return nodes
}

func TestRealCluster_LosesANode(t *testing.T) {
	nodes := startCluster(t)
	url := "redis://127.0.0.1:" + nodes[0].port + ",127.0.0.1:" + nodes[1].port
	limiter := newLimiter(t, Options{URL: url, Timeout: longTimeout})
	wantHalfFrom(t, limiter, 0, FromRedis)
	wantHalfFrom(t, limiter, 1, FromRedis)
	for i, n := range nodes {
		if size := n.DBSize(t.Context()).Val(); size == 0 {
			t.Errorf("node %d has no keys", i)
		}
	}
	wantHalvesFrom(t, limiter, 16, FromRedis, FromRedis)
	nodes[1].Kill()
	wantHalvesFrom(t, limiter, 16, FromRedis, FromLocal)
}

func TestRealCluster_FoundFromOneAddress(t *testing.T) {
	nodes := startCluster(t)
	for i, n := range nodes {
		log := newLogRecorder()
		o := Options{URL: "redis://127.0.0.1:" + n.port, Timeout: longTimeout, Logger: log.logger()}
		limiter := newLimiter(t, o)
		wantHalfFrom(t, limiter, i, FromRedis)
		wantHalfFrom(t, limiter, 1-i, FromRedis)
		wantHalvesFrom(t, limiter, 16, FromRedis, FromRedis)
		if lines := log.all(); len(lines) != 1 || !strings.Contains(lines[0], "Cluster") {
			t.Errorf("logged %q", lines)
		}
	}
}
