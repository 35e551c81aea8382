package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
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
		return c.clusterOf(rawURL)
	}
	return c.single(rawURL)
}

func (c *connector) single(rawURL string) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, errURL
	}
	return c.node(o, false), nil
}

func (c *connector) sentinel(rawURL string) (redis.UniversalClient, error) {
	f, err := redis.ParseFailoverURL(rawURL)
	if err != nil {
		return nil, errURL
	}
	o := &redis.Options{Protocol: f.Protocol}
	c.boundTimeouts(o)
	f.DialTimeout, f.ReadTimeout, f.WriteTimeout, f.PoolTimeout = o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout
	f.ContextTimeoutEnabled, f.MaxRetries, f.DialerRetries = o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries
	f.DisableIdentity, f.PipelinePoolSize, f.Dialer, f.Protocol = o.DisableIdentity, o.PipelinePoolSize, o.Dialer, o.Protocol
	client := redis.NewFailoverClient(f)
	c.guard(client, f.MasterName, false)
	return client, nil
}

func (c *connector) clusterOf(rawURL string) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(rawURL)
	if err != nil {
		return nil, errURL
	}
	o.MinRetryBackoff, o.MaxRetryBackoff = -1, -1 // a redirect is followed at once, and the deadline bounds them all
	o.DisableRoutingPolicies = true               // saves a COMMAND: our only command has its key where it has always been
	o.NewClient = func(node *redis.Options) *redis.Client { return c.node(node, true) }
	client := redis.NewClusterClient(o)
	c.fleet.reload = func() { client.ReloadState(c.fleet.ctx) }
	return client, nil
}

// node returns the client of one Redis, which may be a node of a Cluster.
func (c *connector) node(o *redis.Options, cluster bool) *redis.Client {
	c.boundTimeouts(o)
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(o)
	c.guard(client, o.Addr, cluster)
	return client
}

// boundTimeouts bounds everything that a client does by the limiter's timeout, whatever the URL says, and
// saves the round trips that a limiter has no use for.
func (c *connector) boundTimeouts(o *redis.Options) {
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = c.timeout, c.timeout, c.timeout, c.timeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.DisableIdentity = true
	o.PipelinePoolSize = -1
	o.Dialer = c.dial
	o.Protocol = cmp.Or(o.Protocol, 2) // no push messages to look for
}

// guard puts a breaker before a client.
func (c *connector) guard(client *redis.Client, node string, cluster bool) {
	b := &breaker{node: node, cluster: cluster, shared: c.fleet.shared}
	limiter := redis_rate.NewLimiter(client)
	b.probe = func(ctx context.Context, key string) error {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		// The suffix stands behind the hash tag: the same slot, so the same node.
		_, err := limiter.Allow(ctx, cmp.Or(key, c.prefix+"{any}")+":probe", probeLimit)
		return err
	}
	client.AddHook(&pipeliner{client: client, breaker: b})
	client.AddHook(b)
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
