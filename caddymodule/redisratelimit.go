package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/ratelimit"
)

// RedisRateLimit bounds how often a verified key may call: GCRA in Redis, one
// bucket a key, shared by all edges. It goes behind `api_key_auth`. A key over
// its limit is answered 429 before a byte of the body is read; every request
// whose limit was evaluated gets the X-RateLimit-* and RateLimit headers.
type RedisRateLimit struct {
	// Whose limits these are: handlers of one name share a key's bucket, and so
	// must have the same limit. It stands in the RateLimit headers. Letters,
	// digits, `.`, `_` and `-`. Default: default.
	Name string `json:"name,omitempty"`

	// The limit of a key that has none of its own, and whose workspace has none.
	Limit RateLimit `json:"limit"`

	// What happens while Redis is out of reach: `local` applies the limit in
	// each edge's own memory, `allow` lets everything pass, `deny` answers 503.
	// Default: local.
	OnError ratelimit.OnError `json:"on_error,omitempty"`

	app    *App
	logger *zap.Logger
	limit  limit.Limit
}

// RateLimit is how often a key may call.
type RateLimit struct {
	// Requests in each period.
	Rate int `json:"rate"`

	// The period.
	Period caddy.Duration `json:"period"`

	// Requests at once. Default: equal to the rate.
	Burst int `json:"burst,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (RedisRateLimit) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.redis_rate_limit",
		New: func() caddy.Module { return new(RedisRateLimit) },
	}
}

// Provision sets the handler up.
func (l *RedisRateLimit) Provision(ctx caddy.Context) (err error) {
	l.logger = ctx.Logger()
	if l.Name == "" {
		l.Name = "default"
	}
	if err := ratelimit.ValidateName(l.Name); err != nil {
		return err
	}
	if l.OnError == "" {
		l.OnError = ratelimit.Local
	}
	if _, err := ratelimit.ParseOnError(string(l.OnError)); err != nil {
		return fmt.Errorf("on_error: %w", err)
	}
	l.limit = limit.Limit{
		Rate:   l.Limit.Rate,
		Period: time.Duration(l.Limit.Period),
		Burst:  cmp.Or(l.Limit.Burst, l.Limit.Rate),
	}
	if err := l.limit.Validate(); err != nil {
		return fmt.Errorf("limit: %w", err)
	}
	if l.app, err = configuredApp(ctx); err != nil {
		return err
	}
	return l.app.claimLimit(l.Name, l.limit)
}

var errUnverified = errors.New("no verified key: api_key_auth must come before this handler, with the same matcher")

func (l *RedisRateLimit) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	key, verified := apikey.FromContext(r.Context())
	if !verified {
		return fail(w, r, l.logger, http.StatusInternalServerError, errUnverified)
	}
	decision, err := l.app.lease.Use().Limiter.Allow(r.Context(), ratelimit.Request{
		Name:    l.Name,
		Bucket:  key.Hash,
		Limit:   l.limitOf(key),
		OnError: l.OnError,
	})
	if err != nil {
		return fail(w, r, l.logger, http.StatusServiceUnavailable, err)
	}
	if decision.Evaluated {
		decision.SetHeaders(w.Header(), l.Name, time.Now())
	}
	if !decision.Allowed {
		refuse(w, r, "rate_limit", func() { apierror.WriteRateLimitExceeded(w, decision.RetryAfter) })
		return nil
	}
	return next.ServeHTTP(w, r)
}

// limitOf is the key's own limit, else the route's.
func (l *RedisRateLimit) limitOf(key *apikey.Key) limit.Limit {
	if key.Limit == (limit.Limit{}) {
		return l.limit
	}
	return key.Limit
}

// UnmarshalCaddyfile sets the handler up from its directive. Syntax:
//
//	redis_rate_limit [<matcher>] {
//		limit    <rate>/<period> [burst <number>]
//		name     <name>
//		on_error local|allow|deny
//	}
//
// Only limit is required: 600/1m is 600 requests a minute. Periods are in ms, s,
// m, h or d. Handlers of one name share a key's bucket and must have one limit.
func (l *RedisRateLimit) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if err := noMoreArgs(d); err != nil {
		return err
	}
	err := block(d, func(name string) error {
		switch name {
		case "limit":
			return l.Limit.unmarshal(d)
		case "name":
			if err := stringArg(d, &l.Name); err != nil {
				return err
			}
			return at(d, ratelimit.ValidateName(l.Name))
		case "on_error":
			var text string
			if err := stringArg(d, &text); err != nil {
				return err
			}
			var err error
			l.OnError, err = ratelimit.ParseOnError(text)
			return at(d, err)
		}
		return unknown(d, "redis_rate_limit", "limit, name and on_error")
	})
	if err != nil {
		return err
	}
	if l.Limit == (RateLimit{}) {
		return d.Err("redis_rate_limit needs a limit, such as limit 600/1m")
	}
	return nil
}

func (l *RateLimit) unmarshal(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	withBurst := len(args) == 3 && args[1] == "burst"
	if len(args) != 1 && !withBurst {
		return d.Err("limit must be <rate>/<period> [burst <number>]")
	}
	limit, err := limit.Parse(args[0])
	if err != nil {
		return d.WrapErr(err)
	}
	*l = RateLimit{Rate: limit.Rate, Period: caddy.Duration(limit.Period)}
	if !withBurst {
		return nil
	}
	if limit.Burst, err = strconv.Atoi(args[2]); err != nil {
		return d.Errf("burst must be a whole number, not %q", args[2])
	}
	l.Burst = limit.Burst
	return at(d, limit.Validate())
}

// Interface guards
var (
	_ caddy.Provisioner           = (*RedisRateLimit)(nil)
	_ caddyhttp.MiddlewareHandler = (*RedisRateLimit)(nil)
	_ caddyfile.Unmarshaler       = (*RedisRateLimit)(nil)
)
