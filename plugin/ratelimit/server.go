package ratelimit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/plugin/limit"
)

// Server describes the Redis that Check has used.
type Server struct {
	Name    string        // "redis" or "valkey"
	Version string        // empty if the user may not run INFO
	Cluster bool          // Redis is a Cluster
	Took    time.Duration // the fastest decision, without the time to connect
	Nodes   []Node        // the masters of a Cluster, sorted by address, or the only node
}

// Node describes a Redis that holds buckets.
type Node struct {
	Address string    // empty unless Redis is a Cluster
	Clock   time.Time // its time
	// Info is the reply to INFO, by field. It is nil if the user may not run it.
	Info map[string]string
	// Config has the settings appendfsync and save. One that the user may not read is missing.
	Config map[string]string
}

// server returns all fields but Took, within the Limiter's timeout.
func (l *Limiter) server(ctx context.Context) (Server, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	nodes, cluster, err := l.nodes(ctx)
	if err != nil {
		return Server{}, err
	}
	// INFO is in the ACL category @dangerous, and the version is optional. Valkey also returns the
	// version of a compatible Redis.
	server := Server{Name: "redis", Version: nodes[0].Info["redis_version"], Cluster: cluster, Nodes: nodes}
	if version := nodes[0].Info["valkey_version"]; version != "" {
		server.Name, server.Version = "valkey", version
	}
	return server, nil
}

func (l *Limiter) nodes(ctx context.Context) (nodes []Node, cluster bool, err error) {
	client := l.upstream.client.Load().UniversalClient
	masters, cluster := client.(*redis.ClusterClient)
	if !cluster {
		node, err := describeNode(ctx, client)
		return []Node{node}, false, err
	}
	var mu sync.Mutex
	err = masters.ForEachMaster(ctx, func(ctx context.Context, client *redis.Client) error {
		node, err := describeNode(ctx, client)
		node.Address = client.Options().Addr
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, node)
		return err
	})
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.Address, b.Address) })
	if len(nodes) == 0 && err == nil {
		err = errors.New("the Cluster has no master")
	}
	return nodes, true, err
}

// describeNode returns an error only if it cannot get the time: a limiter depends on nothing else.
func describeNode(ctx context.Context, client redis.Cmdable) (n Node, err error) {
	if n.Clock, err = client.Time(ctx).Result(); err != nil {
		return n, fmt.Errorf("get redis's time: %w", err)
	}
	if info, err := client.Info(ctx).Result(); err == nil {
		n.Info = make(map[string]string)
		for line := range strings.Lines(info) {
			if field, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				n.Info[field] = value
			}
		}
	}
	n.Config = make(map[string]string)
	for _, name := range []string{"appendfsync", "save"} {
		if setting, err := client.ConfigGet(ctx, name).Result(); err == nil {
			maps.Copy(n.Config, setting)
		}
	}
	return n, nil
}

const (
	// checkTimeout bounds each of Check's calls to Redis.
	checkTimeout = 5 * time.Second

	// checkBuckets is how many buckets Check uses: enough to reach all nodes of a small Cluster.
	checkBuckets = 32
)

// Fault is a problem that Check found, and how to fix it.
type Fault struct {
	Err error  // contains no password
	Fix string // an imperative in lower case, such as "raise maxmemory"
}

// Error returns the text of Err, and the fix.
func (f *Fault) Error() string { return f.Err.Error() + ": " + f.Fix }

// Unwrap returns Err.
func (f *Fault) Unwrap() error { return f.Err }

// Check makes some decisions as a Limiter with these options would: as the same user, on keys with
// the same prefix, which expire within two seconds. It returns a *Fault if an option is invalid or
// Redis does not decide within o.Timeout. Each call may take 5 s (or o.Timeout, if longer), so that
// Check can return the Server together with the *Fault of a slow Redis.
func Check(ctx context.Context, o Options) (Server, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return Server{}, &Fault{err, "check the timeout"}
	}
	within := o.Timeout
	o.Timeout = max(within, checkTimeout)
	l, err := New(o)
	if err != nil {
		return Server{}, &Fault{err, "check the url"}
	}
	defer l.Close()
	took, err := l.fastestDecision(ctx)
	if err != nil {
		return Server{}, l.fault(err, o.Prefix)
	}
	server, err := l.server(ctx)
	if err != nil {
		return Server{}, l.fault(err, o.Prefix)
	}
	server.Took = took
	if took > within {
		err := fmt.Errorf("redis takes %s to decide, but the timeout is %s", took.Round(time.Millisecond), within)
		return server, &Fault{err, "increase redis { timeout }, or use a redis that is closer"}
	}
	return server, nil
}

// fastestDecision charges several buckets, one after the other, and returns the shortest time.
func (l *Limiter) fastestDecision(ctx context.Context) (fastest time.Duration, err error) {
	c := charge{bucket{name: "doctor", limit: limit.Limit{Rate: 1000, Period: time.Second, Burst: 1000}}, 1}
	fastest = l.timeout
	for range checkBuckets {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		rand.Read(c.owner[:])
		c.group = c.owner
		start := time.Now()
		if _, err := l.callRedisRate(ctx, &c, start); err != nil {
			return 0, err
		}
		fastest = min(fastest, time.Since(start))
	}
	return fastest, nil
}

// fault returns an error with its fix.
func (l *Limiter) fault(err error, prefix string) *Fault {
	class := classify(err)
	fix := fixes[class]
	if class == failAuth && !wrongPassword.MatchString(err.Error()) {
		fix = fmt.Sprintf("grant the user ~rate:%s* +eval +evalsha +get +set +time, "+
			"+select for a database other than 0, +client|setname for a client_name, "+
			"and +cluster|slots +asking in a Cluster", prefix)
	}
	return &Fault{fmt.Errorf("redis does not decide: %s", describe(err)), fix}
}

// wrongPassword matches a failed login, as opposed to a missing permission.
var wrongPassword = regexp.MustCompile(`^(NOAUTH|WRONGPASS|DENIED|ERR AUTH|ERR Client sent AUTH)\b`)

var fixes = map[failure]string{
	failRefused:  "check the url's host and port, and that redis listens there",
	failTimeout:  "check the url's host and port, and the network; redis may be hanging",
	failNetwork:  "check the url's host and port, and whether that port requires TLS (rediss://)",
	failTLS:      "check that the port uses TLS, and that its certificate is trusted and for the url's host",
	failLoading:  "wait until redis has started, or kill the script that keeps it busy",
	failMemory:   "raise maxmemory; the edge decides limits locally until then",
	failReadOnly: "name the master in the url, and check that it can save and has its replicas",
	failCluster:  "repair the Cluster: CLUSTER INFO must say cluster_state:ok",
	failAuth:     "check the url's user and password; percent-encode special characters",
	failKey:      "delete the keys with the prefix that the edge did not write",
	failReply:    "check that redis listens at the url, and that no other program writes keys with the prefix",
	failServer:   "follow redis's error; the edge needs Redis 6.2+ or Valkey, and ?master_name=… for Sentinels",
	failClosed:   "try again",
}
