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

// probeLimit never denies, so every probe writes. Its key expires within a second.
var probeLimit = redis_rate.PerSecond(1000)

// clientFactory makes the client for a URL. The client dials with its first command.
type clientFactory struct {
	timeout  time.Duration
	prefix   string
	upstream *upstream
	dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil: go-redis's
}

func (c *clientFactory) newClient(rawURL string) (redis.UniversalClient, error) {
	messages.install()
	rawURL, err := splitHosts(rawURL)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(rawURL)
	if err != nil || !validHosts(u) {
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

func (c *clientFactory) single(rawURL string) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, errURL
	}
	if o.Network == "tcp" {
		c.upstream.newCluster = func() redis.UniversalClient {
			return c.clusterClient(&redis.ClusterOptions{Addrs: []string{o.Addr}}, o)
		}
	}
	return c.nodeClient(o, false), nil
}

func (c *clientFactory) sentinel(rawURL string) (redis.UniversalClient, error) {
	f, err := redis.ParseFailoverURL(rawURL)
	if err != nil {
		return nil, errURL
	}
	o := &redis.Options{TLSConfig: f.TLSConfig}
	c.boundTimeouts(o)
	f.DialTimeout, f.ReadTimeout, f.WriteTimeout = o.DialTimeout, o.ReadTimeout, o.WriteTimeout
	f.PoolTimeout, f.PipelinePoolSize, f.Dialer = o.PoolTimeout, o.PipelinePoolSize, o.Dialer
	f.ContextTimeoutEnabled, f.MaxRetries, f.DialerRetries = o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries
	f.DisableIdentity, f.Protocol = o.DisableIdentity, o.Protocol
	f.MaxConcurrentDials, f.MinIdleConns = o.MaxConcurrentDials, o.MinIdleConns
	client := redis.NewFailoverClient(f)
	c.addHooks(client, f.MasterName, false)
	return client, nil
}

func (c *clientFactory) cluster(rawURL string) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(rawURL)
	if err != nil {
		return nil, errURL
	}
	return c.clusterClient(o, nil), nil
}

// clusterClient returns the client of a Cluster. If template is not nil, it holds the options of
// every node, except for the address.
func (c *clientFactory) clusterClient(o *redis.ClusterOptions, template *redis.Options) redis.UniversalClient {
	// Follow redirects immediately. The deadline bounds them all.
	o.MinRetryBackoff, o.MaxRetryBackoff = -1, -1
	// Save a COMMAND: the position of EVALSHA's key is known.
	o.DisableRoutingPolicies = true
	// The script writes, so only masters can run it.
	o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
	o.NewClient = func(node *redis.Options) *redis.Client {
		if template != nil {
			addr := node.Addr
			node = new(*template)
			node.Addr = addr
		}
		return c.nodeClient(node, true)
	}
	return redis.NewClusterClient(o)
}

// nodeClient returns the client of one Redis, which may be a node of a Cluster.
func (c *clientFactory) nodeClient(o *redis.Options, cluster bool) *redis.Client {
	c.boundTimeouts(o)
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(o)
	c.addHooks(client, o.Addr, cluster)
	return client
}

// boundTimeouts applies the Limiter's timeout instead of the URL's parameters, and turns off what
// costs round trips and a limiter does not need.
func (c *clientFactory) boundTimeouts(o *redis.Options) {
	o.DialTimeout = c.dialTimeout()
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = c.timeout, c.timeout, c.timeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.MaxConcurrentDials = maxInFlight
	o.MinIdleConns = 0 // such connections would be dialed before the hooks are added
	o.DisableIdentity = true
	o.PipelinePoolSize = -1
	o.Dialer = c.dialer(o.TLSConfig)
	o.Protocol = 2 // RESP3 would look for push messages
}

// dialTimeout bounds name lookup, Sentinels, dial, TLS and Redis handshake together. It may be
// long, because no call waits for a connection longer than its own timeout.
func (c *clientFactory) dialTimeout() time.Duration { return max(10*c.timeout, time.Second) }

// dialer returns a dialer that honors the cancellation of its context, unlike go-redis's with TLS.
func (c *clientFactory) dialer(config *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
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
			return tlsConn{secure, socket}, nil
		}
		return secure, nil
	}
}

// tlsConn is a TLS connection that exposes its socket. Without it, go-redis cannot check whether
// the server has closed an idle connection. go-redis also drops idle connections with unread data,
// but the Redis handshake has already read the session tickets of TLS 1.3.
type tlsConn struct {
	*tls.Conn
	socket syscall.Conn
}

func (c tlsConn) SyscallConn() (syscall.RawConn, error) { return c.socket.SyscallConn() }

// addHooks adds the pipeliner, the breaker and the handshaker to a client, in this order.
func (c *clientFactory) addHooks(client *redis.Client, node string, cluster bool) {
	b := &breaker{node: node, cluster: cluster, upstream: c.upstream}
	limiter := redis_rate.NewLimiter(client)
	b.probe = func(ctx context.Context, key string) error {
		// It may wait for a new connection. ReadTimeout bounds each of its round trips.
		ctx, cancel := context.WithTimeout(ctx, c.dialTimeout())
		defer cancel()
		if key == "" && cluster { // the command that failed was CLUSTER SLOTS
			return client.Do(ctx, "cluster", "slots").Err()
		}
		// The suffix follows the hash tag, so the key is in the same slot, on the same node.
		_, err := limiter.Allow(ctx, cmp.Or(key, c.prefix+"{any}")+":probe", probeLimit)
		return err
	}
	client.AddHook(&pipeliner{client: client, breaker: b})
	client.AddHook(b)
	client.AddHook(&handshaker{client: client, upstream: c.upstream})
	c.upstream.addBreaker(b)
}

// splitHosts turns redis://a:1,b:2/… into redis://a:1/…?addr=b:2, which go-redis can parse.
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

// errURL quotes nothing: it is unknown where the password ends in a malformed URL.
var errURL = errors.New("redis url: invalid: want redis://user:password@host:6379/0, " +
	"rediss://… with TLS, or unix:///path; percent-encode special characters in the password")

// validHosts reports whether the URL's hosts can be host names or addresses. A password that is
// taken for a host, because the @ is missing, may not be.
func validHosts(u *url.URL) bool {
	for _, host := range append([]string{u.Host}, u.Query()["addr"]...) {
		name := (&url.URL{Host: host}).Hostname()
		if _, err := netip.ParseAddr(name); err != nil && strings.Contains(name, ":") {
			return false
		}
	}
	return true
}
