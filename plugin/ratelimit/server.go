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

// Server is what a Redis says of itself; of a Cluster or Sentinels, one of the nodes.
type Server struct {
	Name    string // redis or valkey
	Version string // "" where the user may not ask
	Clock   time.Time
	Cluster bool          // all nodes of a Cluster are asked, not a single Redis
	Took    time.Duration // the fastest decision over a connection that was there; only Check measures it
}

// askServer asks for it within the limiter's timeout.
func (l *Limiter) askServer(ctx context.Context) (Server, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	client := l.fleet.link.Load().client
	clock, err := client.Time(ctx).Result()
	if err != nil {
		return Server{}, fmt.Errorf("ask redis for its time: %w", err)
	}
	_, cluster := client.(*redis.ClusterClient)
	server := Server{Name: "redis", Clock: clock, Cluster: cluster}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return server, nil // INFO is of the ACL category @dangerous, and the version is only good to know
	}
	for line := range strings.Lines(info) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch field {
		case "valkey_version":
			server.Name, server.Version = "valkey", value
		case "redis_version":
			if server.Version == "" { // Valkey names the Redis that it is compatible with, too
				server.Version = value
			}
		}
	}
	return server, nil
}

const (
	// checkPatience bounds each question of Check.
	checkPatience = 5 * time.Second

	// checkBuckets is how many buckets Check asks for: enough to meet all nodes of a small Cluster.
	checkBuckets = 32
)

// Fault is what Check found, and how it is fixed.
type Fault struct {
	Err error  // without passwords
	Fix string // an imperative, in lower case
}

func (f *Fault) Error() string { return f.Err.Error() + ": " + f.Fix }
func (f *Fault) Unwrap() error { return f.Err }

// Check decides some requests as a Limiter with these options does: as the same user, and on keys
// of the same prefix, which expire within two seconds. It returns a *Fault unless Redis decides
// within o.Timeout.
func Check(ctx context.Context, o Options) (Server, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return Server{}, &Fault{err, "check the timeout"}
	}
	within := o.Timeout
	o.Timeout = max(within, checkPatience)
	l, err := New(o)
	if err != nil {
		return Server{}, &Fault{err, "check the url"}
	}
	defer l.Close()
	took, err := l.decideAll(ctx)
	if err != nil {
		return Server{}, l.fault(err, o.Prefix)
	}
	server, err := l.askServer(ctx)
	if err != nil {
		return Server{}, l.fault(err, o.Prefix)
	}
	server.Took = took
	if took > within {
		err := fmt.Errorf("redis decides in %s, the timeout is %s", took.Round(time.Millisecond), within)
		return server, &Fault{err, "set redis { timeout } to more, or use a redis that is closer"}
	}
	return server, nil
}

// decideAll asks for some buckets, one after the other, and returns what the fastest took.
func (l *Limiter) decideAll(ctx context.Context) (fastest time.Duration, err error) {
	b := bucket{name: "doctor", limit: limit.Limit{Rate: 1000, Period: time.Second, Burst: 1000}}
	fastest = l.timeout
	for range checkBuckets {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		rand.Read(b.owner[:])
		asked := time.Now()
		if _, err := l.ask(ctx, b, asked); err != nil {
			return 0, err
		}
		fastest = min(fastest, time.Since(asked))
	}
	return fastest, nil
}

// fault names the fix of an error.
func (l *Limiter) fault(err error, prefix string) *Fault {
	class := classify(err)
	fix := fixes[class]
	if class == failAuth && !wrongPassword.MatchString(err.Error()) {
		fix = fmt.Sprintf("grant the user ~rate:%s* +eval +evalsha +get +set +time, +select for a database other than 0, "+
			"+client|setname for a client_name, and +cluster|slots +asking in a Cluster", prefix)
	}
	return &Fault{fmt.Errorf("redis does not decide: %s", describe(err)), fix}
}

// wrongPassword finds that Redis does not know the user, as opposed to one who lacks a permission.
var wrongPassword = regexp.MustCompile(`^(NOAUTH|WRONGPASS|DENIED|ERR AUTH|ERR Client sent AUTH)\b`)

var fixes = map[failure]string{
	failRefused:  "check the url's host and port, and that redis listens there",
	failTimeout:  "check the url's host and port, and the network; redis may be hung",
	failNetwork:  "check the url's host and port, and whether that port wants TLS (rediss://)",
	failTLS:      "check that the port speaks TLS, and that its certificate is of a known authority and names the url's host",
	failLoading:  "wait until redis has started, or end the script that keeps it busy",
	failMemory:   "raise maxmemory, or set a maxmemory-policy that evicts",
	failReadOnly: "name the master in the url, and see that it can save and has its replicas",
	failCluster:  "repair the Cluster: CLUSTER INFO must say cluster_state:ok",
	failAuth:     "check the url's user and password, whose special characters are percent-encoded",
	failKey:      "delete the keys with the prefix that the edge has not written",
	failAnswer:   "check that the url leads to redis, and that no other program writes the keys with the prefix",
	failServer:   "do as redis says; the edge needs Redis 6.2 or later or Valkey, and ?master_name=… if the url names Sentinels",
	failClosed:   "try again",
}
