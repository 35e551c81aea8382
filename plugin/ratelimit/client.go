package ratelimit

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// probeLimit never denies, so that a probe always writes; its key is gone a second later.
var probeLimit = redis_rate.PerSecond(1000)

// connector makes the client of a URL. Nothing is dialled before the first command.
type connector struct {
	timeout time.Duration
	prefix  string
	fleet   *fleet
	dial    func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the network's
}

func (c *connector) connect(rawURL string) (redis.UniversalClient, error) {
	messages.install()
	rawURL, err := splitHosts(rawURL)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(rawURL)
	if err != nil || !hasHosts(u) {
		return nil, errURL
	}
	switch q := u.Query(); {
	case q.Has("master_name"):
		return c.sentinel(rawURL)
	case q.Has("addr"):
		return c.cluster(rawURL)
	}
	return c.single(rawURL)
}

func (c *connector) single(rawURL string) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, errURL
	}
	if o.Network == "tcp" {
		c.fleet.cluster = func() redis.UniversalClient {
			return c.clusterOf(&redis.ClusterOptions{Addrs: []string{o.Addr}}, o)
		}
	}
	return c.node(o, false), nil
}

func (c *connector) sentinel(rawURL string) (redis.UniversalClient, error) {
	f, err := redis.ParseFailoverURL(rawURL)
	if err != nil {
		return nil, errURL
	}
	o := &redis.Options{TLSConfig: f.TLSConfig}
	c.boundTimeouts(o)
	f.DialTimeout, f.ReadTimeout, f.WriteTimeout, f.PoolTimeout = o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout
	f.ContextTimeoutEnabled, f.MaxRetries, f.DialerRetries = o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries
	f.DisableIdentity, f.PipelinePoolSize, f.Dialer, f.Protocol = o.DisableIdentity, o.PipelinePoolSize, o.Dialer, o.Protocol
	f.MaxConcurrentDials, f.MinIdleConns = o.MaxConcurrentDials, o.MinIdleConns
	client := redis.NewFailoverClient(f)
	c.guard(client, f.MasterName, false)
	return client, nil
}

func (c *connector) cluster(rawURL string) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(rawURL)
	if err != nil {
		return nil, errURL
	}
	return c.clusterOf(o, nil), nil
}

// clusterOf returns the client of a Cluster. If like is not nil, it holds the options of every
// node, except for the address.
func (c *connector) clusterOf(o *redis.ClusterOptions, like *redis.Options) redis.UniversalClient {
	// A redirect is followed immediately, and the deadline bounds them all.
	o.MinRetryBackoff, o.MaxRetryBackoff = -1, -1
	// This saves a COMMAND: our only command has its key where it has always been.
	o.DisableRoutingPolicies = true
	// The script writes, so only masters are asked.
	o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
	o.NewClient = func(node *redis.Options) *redis.Client {
		if like != nil {
			at := node.Addr
			node = new(*like)
			node.Addr = at
		}
		return c.node(node, true)
	}
	return redis.NewClusterClient(o)
}

// node returns the client of one Redis, which may be a node of a Cluster.
func (c *connector) node(o *redis.Options, cluster bool) *redis.Client {
	c.boundTimeouts(o)
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(o)
	c.guard(client, o.Addr, cluster)
	return client
}

// boundTimeouts bounds everything that a client does by the limiter's timeout, whatever the URL
// says, and saves the round trips that a limiter has no use for.
func (c *connector) boundTimeouts(o *redis.Options) {
	o.DialTimeout = c.dialTimeout()
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = c.timeout, c.timeout, c.timeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.MaxConcurrentDials = maxInFlight
	o.MinIdleConns = 0 // they would be dialed before the hooks are added
	o.DisableIdentity = true
	o.PipelinePoolSize = -1
	o.Dialer = c.dialer(o.TLSConfig)
	o.Protocol = 2 // no push messages to look for
}

// dialTimeout bounds everything before a connection's first call: name lookup, Sentinels, dial, TLS
// and greeting. It is ample, because no call waits for a connection longer than its own timeout.
func (c *connector) dialTimeout() time.Duration { return max(10*c.timeout, time.Second) }

// dialer returns a dialer that stops when its context is canceled. go-redis's own ignores that with
// TLS.
func (c *connector) dialer(config *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := c.dial
	if dial == nil {
		dial = redis.NewDialer(&redis.Options{DialTimeout: c.dialTimeout()})
	}
	if config == nil {
		return dial
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		if socket, ok := conn.(syscall.Conn); ok {
			return peekable{secure, socket}, nil
		}
		return secure, nil
	}
}

// peekable is a TLS connection that shows its socket, so that go-redis can check whether the server
// has closed it. Without a socket go-redis uses closed connections again. It drops an idle
// connection on which anything has arrived; TLS's session tickets have been read with the greeting.
type peekable struct {
	*tls.Conn
	socket syscall.Conn
}

func (p peekable) SyscallConn() (syscall.RawConn, error) { return p.socket.SyscallConn() }

// guard adds the hooks to a client: what shares round trips, the breaker and the greeter.
func (c *connector) guard(client *redis.Client, node string, cluster bool) {
	b := &breaker{node: node, cluster: cluster, fleet: c.fleet}
	limiter := redis_rate.NewLimiter(client)
	b.probe = func(ctx context.Context, key string) error {
		// It may wait for a new connection; ReadTimeout bounds each of its round trips.
		ctx, cancel := context.WithTimeout(ctx, c.dialTimeout())
		defer cancel()
		if key == "" && cluster { // CLUSTER SLOTS has failed
			return client.Do(ctx, "cluster", "slots").Err()
		}
		// The suffix stands behind the hash tag: the same slot, so the same node.
		_, err := limiter.Allow(ctx, cmp.Or(key, c.prefix+"{any}")+":probe", probeLimit)
		return err
	}
	client.AddHook(&pipeliner{client: client, breaker: b})
	client.AddHook(b)
	client.AddHook(&greeter{client: client, fleet: c.fleet})
	c.fleet.add(b)
}

// splitHosts turns redis://a:1,b:2/… into redis://a:1/…?addr=b:2, which go-redis understands.
func splitHosts(rawURL string) (string, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return "", errURL
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	at := strings.LastIndexByte(authority, '@') + 1
	hosts := strings.Split(authority[at:], ",")
	if len(hosts) == 1 {
		return rawURL, nil
	}
	more := url.Values{"addr": hosts[1:]}.Encode()
	if strings.Contains(tail, "?") {
		more = "&" + more
	} else {
		more = "?" + more
	}
	return scheme + "://" + authority[:at] + hosts[0] + tail + more, nil
}

// errURL says nothing of the URL: in a malformed one nobody can tell where the password ends.
var errURL = errors.New("redis url: not understood: want redis://user:password@host:6379/0, rediss://… with TLS, or unix:///path, " +
	"and a password's special characters percent-encoded")

// hasHosts says whether what stands for hosts can be some: a password whose @ was forgotten cannot.
func hasHosts(u *url.URL) bool {
	for _, host := range append([]string{u.Host}, u.Query()["addr"]...) {
		name := (&url.URL{Host: host}).Hostname()
		if _, err := netip.ParseAddr(name); err != nil && strings.Contains(name, ":") {
			return false
		}
	}
	return true
}
