package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
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
	logging.Disable() // it writes each failed dial to standard error, where the breaker logs one line an outage
	rawURL, err := splitHosts(rawURL)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, safely(rawURL, err)
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
		return nil, safely(rawURL, err)
	}
	c.tame(o)
	client := redis.NewClient(o)
	c.guard(client, o.Addr, false)
	return client, nil
}

func (c *connector) sentinel(rawURL string) (redis.UniversalClient, error) {
	o, err := redis.ParseFailoverURL(rawURL)
	if err != nil {
		return nil, safely(rawURL, err)
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = c.timeout, c.timeout, c.timeout, c.timeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.DisableIdentity = true
	o.PipelinePoolSize = -1
	o.Dialer = c.dial
	if o.Protocol == 0 {
		o.Protocol = 2
	}
	client := redis.NewFailoverClient(o)
	c.guard(client, o.MasterName, false)
	return client, nil
}

func (c *connector) clusterOf(rawURL string) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(rawURL)
	if err != nil {
		return nil, safely(rawURL, err)
	}
	o.MinRetryBackoff, o.MaxRetryBackoff = -1, -1 // a redirect is followed at once, and the deadline bounds them all
	o.DisableRoutingPolicies = true               // saves a COMMAND: our only command has its key where it has always been
	o.NewClient = func(node *redis.Options) *redis.Client {
		c.tame(node)
		client := redis.NewClient(node)
		c.guard(client, node.Addr, true)
		return client
	}
	client := redis.NewClusterClient(o)
	c.fleet.reload = func() { client.ReloadState(c.fleet.ctx) }
	return client, nil
}

// tame bounds everything a node's client does by the limiter's timeout, whatever the
// URL says, and spares the round trips that a limiter has no use for.
func (c *connector) tame(o *redis.Options) {
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = c.timeout, c.timeout, c.timeout, c.timeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.DisableIdentity = true
	o.PipelinePoolSize = -1
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.Dialer = c.dial
	if o.Protocol == 0 {
		o.Protocol = 2 // no push messages to look for
	}
}

// guard puts a breaker before a client.
func (c *connector) guard(client *redis.Client, node string, cluster bool) {
	b := &breaker{node: node, cluster: cluster, fleet: c.fleet}
	limiter := redis_rate.NewLimiter(client)
	b.probe = func(ctx context.Context, key string) error {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		// The suffix stands behind the hash tag: the same slot, so the same node.
		_, err := limiter.Allow(ctx, cmp.Or(key, c.prefix+"{any}")+":probe", probeLimit)
		return err
	}
	client.AddHook(b)
	c.fleet.add(b)
}

// splitHosts turns redis://a:1,b:2/… into redis://a:1/…?addr=b:2, which go-redis understands.
func splitHosts(rawURL string) (string, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return "", errors.New("redis url: want redis://, rediss:// or unix://")
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

// safely reports a URL that cannot be used. The cause may quote any part of it, so it is
// told only where there is no password to quote.
func safely(rawURL string, cause error) error {
	if strings.ContainsRune(rawURL, '@') || strings.Contains(rawURL, "password") {
		return errors.New("redis url: not understood; its password may hold characters that must be percent-encoded")
	}
	return fmt.Errorf("redis url: %w", cause)
}
