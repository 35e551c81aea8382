package ratelimit

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/plugin/limit"
)

// Server describes the Redis that Check has used. Of a Cluster, it describes one node.
type Server struct {
	Name    string        // "redis" or "valkey"
	Version string        // empty if the user may not run INFO
	Clock   time.Time     // Redis's time
	Cluster bool          // Redis is a Cluster
	Took    time.Duration // the fastest decision, without the time to connect
}

// server returns all fields but Took, within the Limiter's timeout.
func (l *Limiter) server(ctx context.Context) (Server, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	client := l.upstream.client.Load()
	clock, err := client.Time(ctx).Result()
	if err != nil {
		return Server{}, fmt.Errorf("get redis's time: %w", err)
	}
	_, cluster := client.UniversalClient.(*redis.ClusterClient)
	server := Server{Name: "redis", Clock: clock, Cluster: cluster}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return server, nil // INFO is in the ACL category @dangerous, and the version is optional
	}
	for line := range strings.Lines(info) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch field {
		case "valkey_version":
			server.Name, server.Version = "valkey", value
		case "redis_version":
			if server.Version == "" { // Valkey also returns the version of a compatible Redis
				server.Version = value
			}
		}
	}
	return server, nil
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
	b := bucket{name: "doctor", limit: limit.Limit{Rate: 1000, Period: time.Second, Burst: 1000}}
	fastest = l.timeout
	for range checkBuckets {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		rand.Read(b.owner[:])
		start := time.Now()
		if _, err := l.takeFromRedis(ctx, b, start); err != nil {
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
	failMemory:   "raise maxmemory, or set a maxmemory-policy that evicts",
	failReadOnly: "name the master in the url, and check that it can save and has its replicas",
	failCluster:  "repair the Cluster: CLUSTER INFO must say cluster_state:ok",
	failAuth:     "check the url's user and password; percent-encode special characters",
	failKey:      "delete the keys with the prefix that the edge did not write",
	failReply:    "check that redis listens at the url, and that no other program writes keys with the prefix",
	failServer:   "follow redis's error; the edge needs Redis 6.2+ or Valkey, and ?master_name=… for Sentinels",
	failClosed:   "try again",
}
