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

// Options of a Limiter. A field that is zero has its default.
type Options struct {
	// URL says where Redis is, as go-redis reads it:
	//
	//	redis://user:password@host:6379/0            one Redis; rediss:// with TLS
	//	unix:///run/redis.sock?db=0                  one Redis, on a socket
	//	redis://a:6379,b:6379                        a Cluster (also ?addr=b:6379)
	//	redis://a:26379,b:26379/0?master_name=main   the master that Sentinels know
	//
	// If one Redis turns out to be a node of a Cluster, the whole Cluster is asked. go-redis's
	// query parameters (pool_size, client_name, skip_verify, …) hold, but Timeout decides on
	// timeouts and retries, and the Limiter on the protocol, on how many connections are dialed at
	// a time and on which nodes are asked.
	URL string

	// Prefix begins every Redis key, so that two sites may share a Redis. Default: "hoko:".
	Prefix string

	// Timeout bounds one question to Redis, with everything that it takes: the wait for the
	// questions before it and for a connection, write and read. A connection that is not there in
	// time is dialed and greeted all the same, within ten times Timeout but at least a second, for
	// later questions. Default: 50 ms.
	Timeout time.Duration

	Logger  *slog.Logger          // nil: silent
	Metrics prometheus.Registerer // nil: not registered

	dial func(ctx context.Context, network, addr string) (net.Conn, error) // tests in a synctest bubble
}

// WithDefaults returns the options with their defaults filled in, or an error that names one that
// cannot be used. It does not judge the URL.
func (o Options) WithDefaults() (Options, error) {
	if o.Timeout < 0 {
		return o, errors.New("redis timeout must be positive")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.Prefix = cmp.Or(o.Prefix, defaultPrefix)
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	return o, nil
}

// OnError says what becomes of a request that Redis does not decide.
type OnError string

const (
	Local OnError = "local" // the same limit, counted by this process alone; the default
	Allow OnError = "allow" // let it through, unlimited
	Deny  OnError = "deny"  // refuse it: ErrUnavailable
)

// ParseOnError reads local, allow or deny.
func ParseOnError(s string) (OnError, error) {
	switch o := OnError(s); o {
	case Local, Allow, Deny:
		return o, nil
	}
	return "", fmt.Errorf("%q: want local, allow or deny", s)
}
