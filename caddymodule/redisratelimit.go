package caddymodule

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/caddymodule/request"
	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/ratelimit"
)

// RedisRateLimit limits the requests of each verified key with GCRA in Redis, in a bucket that all
// edges share. Use it after `api_key_auth`. It answers 429 to a key over its limit, without waiting
// for the body. If the limit was evaluated, the response has the X-RateLimit-* and RateLimit
// headers.
type RedisRateLimit struct {
	// Name of the limit in the RateLimit headers. Handlers with the same name share a key's bucket
	// and must have the same limit. Letters, digits, `.`, `_` and `-`. Default: default.
	Name string `json:"name,omitempty"`

	// Limit of a key if neither the key nor its workspace has its own. The burst defaults to the
	// rate.
	Limit limit.Limit `json:"limit"`

	// What happens if Redis is unreachable: `local` counts in each edge's memory,
	// `allow` admits every request, `deny` answers 503. Default: local.
	OnError ratelimit.OnError `json:"on_error,omitempty"`

	app    *App
	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (RedisRateLimit) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.redis_rate_limit",
		New: func() caddy.Module { return new(RedisRateLimit) },
	}
}

// Provision sets up the handler and sets defaults.
func (l *RedisRateLimit) Provision(ctx caddy.Context) (err error) {
	l.logger = ctx.Logger()
	l.Name = cmp.Or(l.Name, "default")
	if err := ratelimit.ValidateName(l.Name); err != nil {
		return err
	}
	l.OnError = cmp.Or(l.OnError, ratelimit.Local)
	if _, err := ratelimit.ParseOnError(string(l.OnError)); err != nil {
		return fmt.Errorf("on_error: %w", err)
	}
	if err := l.Limit.Validate(); err != nil {
		return fmt.Errorf("limit: %w", err)
	}
	if l.app, err = loadApp(ctx); err != nil {
		return err
	}
	return l.app.registerLimit(backend.Limit{Name: l.Name, Limit: l.Limit, OnError: l.OnError})
}

// ServeHTTP passes on a request whose key is within its limit.
func (l *RedisRateLimit) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	key, verified := apikey.FromContext(r.Context())
	if !verified {
		return request.Fail(w, r, request.Limit, l.logger, http.StatusInternalServerError, apikey.ErrUnverified)
	}
	start := time.Now()
	decision, err := l.app.lease.Use().Limiter.Allow(r.Context(), ratelimit.Request{
		Name:    l.Name,
		Bucket:  key.Hash,
		Limit:   cmp.Or(key.Limit, l.Limit),
		OnError: l.OnError,
	})
	now := time.Now()
	request.Of(r).SetLimit(l.Name, decision, start, now)
	if err != nil {
		return request.Fail(w, r, request.Limit, l.logger, http.StatusServiceUnavailable, err)
	}
	if decision.Evaluated {
		decision.SetHeaders(w.Header(), l.Name, now)
	}
	if !decision.Allowed {
		request.Reject(w, r, request.Limit, http.StatusTooManyRequests, "rate_limit",
			func() { apierror.WriteRateLimitExceeded(w, decision.RetryAfter) })
		return nil
	}
	return next.ServeHTTP(w, r)
}

// UnmarshalCaddyfile sets up the handler from its directive. Syntax:
//
//	redis_rate_limit [<matcher>] {
//		limit    <rate>/<period> [burst <number>]
//		name     <name>
//		on_error local|allow|deny
//	}
//
// Only limit is required: 600/1m is 600 requests per minute. Units of the period are ms, s, m, h
// and d.
func (l *RedisRateLimit) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	err := parseDirective(d,
		setting{name: "limit", parse: l.parseLimit},
		textSetting("name", &l.Name, ratelimit.ValidateName),
		textSetting("on_error", (*string)(&l.OnError), func(text string) error {
			_, err := ratelimit.ParseOnError(text)
			return err
		}),
	)
	if err == nil && l.Limit == (limit.Limit{}) {
		return d.Err("redis_rate_limit needs a limit, such as limit 600/1m")
	}
	return err
}

func (l *RedisRateLimit) parseLimit(d *caddyfile.Dispenser) (err error) {
	args := d.RemainingArgs()
	withBurst := len(args) == 3 && args[1] == "burst"
	if len(args) != 1 && !withBurst {
		return d.Err("limit must be <rate>/<period> [burst <number>]")
	}
	if l.Limit, err = limit.Parse(args[0]); err != nil || !withBurst {
		return wrapErr(d, err)
	}
	if l.Limit.Burst, err = strconv.Atoi(args[2]); err != nil {
		return d.Errf("burst must be a whole number, not %q", args[2])
	}
	return wrapErr(d, l.Limit.Validate())
}

// Interface guards
var (
	_ caddy.Provisioner           = (*RedisRateLimit)(nil)
	_ caddyhttp.MiddlewareHandler = (*RedisRateLimit)(nil)
	_ caddyfile.Unmarshaler       = (*RedisRateLimit)(nil)
)
