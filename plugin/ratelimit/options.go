package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	defaultPrefix  = "hoko:"
	defaultTimeout = 50 * time.Millisecond
)

// Options configures a Limiter. The zero value of a field selects its default. URL is required.
type Options struct {
	// URL is the address of Redis, in one of these forms:
	//
	//	redis://user:password@host:6379/0            one Redis; rediss:// with TLS
	//	unix:///run/redis.sock?db=0                  one Redis, on a socket
	//	redis://a:6379,b:6379                        a Cluster (also ?addr=b:6379)
	//	redis://a:26379,b:26379/0?master_name=main   a master that Sentinels know
	//
	// If a single Redis turns out to be a node of a Cluster, the Limiter uses the whole Cluster.
	// The query parameters of go-redis (pool_size, client_name, skip_verify, …) apply, except those
	// for timeouts, retries, the protocol, concurrent dials and routing, which the Limiter sets.
	URL string

	// Prefix follows "rate:" in every Redis key, so that sites can share a Redis. Default: "hoko:".
	Prefix string

	// Timeout bounds one call to Redis, including the wait for earlier calls and for a connection.
	// A connection that is not ready by then is still established for later calls, within the
	// longer of ten times Timeout and one second. Default: 50 ms.
	Timeout time.Duration

	Logger *slog.Logger // default: discards
	// Metrics registers the metrics. Limiters with the same registerer share the counters. Default:
	// they are not registered.
	Metrics prometheus.Registerer

	dial func(ctx context.Context, network, addr string) (net.Conn, error) // for tests
}

// WithDefaults returns the options with their defaults filled in. It returns an error if Timeout is
// negative. It does not check the URL.
func (o Options) WithDefaults() (Options, error) {
	if o.Timeout < 0 {
		return o, errors.New("redis timeout must be positive")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.Prefix = cmp.Or(o.Prefix, defaultPrefix)
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	return o, nil
}

// OnError is what to do with a request if Redis does not decide.
type OnError string

const (
	Local OnError = "local" // apply the same limit in this process; the default
	Allow OnError = "allow" // allow the request without a limit
	Deny  OnError = "deny"  // return ErrUnavailable
)

// ParseOnError returns the OnError for "local", "allow" or "deny", and an error for any other text.
func ParseOnError(s string) (OnError, error) {
	switch o := OnError(s); o {
	case Local, Allow, Deny:
		return o, nil
	}
	return "", fmt.Errorf("%q: want local, allow or deny", s)
}
