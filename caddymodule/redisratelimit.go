package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
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
	decision, err := l.app.backend().limiter.Allow(r.Context(), ratelimit.Request{
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

// Interface guards
var (
	_ caddy.Provisioner           = (*RedisRateLimit)(nil)
	_ caddyhttp.MiddlewareHandler = (*RedisRateLimit)(nil)
)
