package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/caddymodule/request"
	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/ratelimit"
)

// RedisRateLimit limits requests with GCRA and calendar quotas in Redis, in buckets that all edges
// share. Use it after `api_key_auth`, unless no limit is by key or workspace. It answers 429 to a
// request over a limit, without waiting for the body. If a limit was evaluated, the response has
// the X-RateLimit-* and RateLimit headers.
//
// All limits by key and workspace are charged, or none of them. Other limits are charged before, in
// order, and stay charged if a later limit denies the request.
type RedisRateLimit struct {
	// The only limit.
	RateLimit

	// Several limits, instead of the only one. Their default `on_error` is that of the handler.
	Limits []RateLimit `json:"limits,omitempty"`

	// How many requests each edge serves at the same time, for each key or workspace. It is checked
	// before the limits, which it does not charge. If it is set, a limit is optional.
	MaxInFlight []MaxInFlight `json:"max_in_flight,omitempty"`

	app    *App
	logger *zap.Logger
	others []backend.Limit // by address, route or placeholder
	owners []backend.Limit // by key or workspace
	lines  []int           // of the limits in the Caddyfile
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
	limits, err := l.resolve()
	if err != nil {
		return err
	}
	if l.app, err = loadApp(ctx); err != nil {
		return err
	}
	for _, resolved := range limits {
		if err := l.app.registerLimit(resolved); err != nil {
			return err
		}
		if resolved.OfOwner() {
			l.owners = append(l.owners, resolved)
		} else {
			l.others = append(l.others, resolved)
		}
	}
	return nil
}

// resolve returns all limits with their defaults, or an error if they make no sense together.
func (l *RedisRateLimit) resolve() (limits []backend.Limit, err error) {
	if err := checkMaxInFlight(l.MaxInFlight); err != nil {
		return nil, err
	}
	configured, none := l.Limits, l.RateLimit == RateLimit{OnError: l.OnError}
	switch {
	case len(configured) == 0 && none && len(l.MaxInFlight) > 0:
		return nil, nil
	case len(configured) == 0:
		configured = []RateLimit{l.RateLimit}
	case !none:
		return nil, errors.New("several limits: give each its own name, limit, by and cost, and none to the handler")
	}
	if err := checkNames(configured); err != nil {
		return nil, err
	}
	byKey, byWorkspace := 0, false
	for _, c := range configured {
		resolved, err := c.resolve(l.OnError)
		if err != nil {
			return nil, err
		}
		if resolved.By == backend.ByKey {
			byKey++
		}
		byWorkspace = byWorkspace || resolved.By == backend.ByWorkspace
		limits = append(limits, resolved)
	}
	for i := range limits {
		limits[i].Grouped = byWorkspace && limits[i].OfOwner()
		isRate := limits[i].By == backend.ByKey && limits[i].Limit.Calendar == limit.None
		limits[i].Overridable = isRate && (byKey == 1 || limits[i].Name == "default")
	}
	return limits, nil
}

// ServeHTTP passes on a request that is within all limits.
func (l *RedisRateLimit) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	key, verified := apikey.FromContext(r.Context())
	if !verified && len(l.owners)+len(l.MaxInFlight) > 0 {
		return request.Fail(w, r, request.Limit, l.logger, http.StatusInternalServerError, apikey.ErrUnverified)
	}
	for i := range l.MaxInFlight {
		admitted, leave := l.MaxInFlight[i].enter(r, key)
		if !admitted {
			request.Reject(w, r, request.Limit, http.StatusTooManyRequests, "in_flight",
				func() { apierror.WriteRateLimitExceeded(w, time.Second) })
			return nil
		}
		defer leave()
	}
	if len(l.owners)+len(l.others) == 0 {
		return next.ServeHTTP(w, r)
	}
	start := time.Now()
	decision, err := l.decide(r, key)
	now := time.Now()
	request.Of(r).SetLimit(decision, start, now)
	if err != nil {
		return request.Fail(w, r, request.Limit, l.logger, http.StatusServiceUnavailable, err)
	}
	decision.SetHeaders(w.Header(), now)
	if !decision.Allowed {
		request.Reject(w, r, request.Limit, http.StatusTooManyRequests, "rate_limit",
			func() { apierror.WriteRateLimitExceeded(w, decision.RetryAfter) })
		return nil
	}
	return next.ServeHTTP(w, r)
}

// decide charges the limits. The decision is about all that were evaluated.
func (l *RedisRateLimit) decide(r *http.Request, key *apikey.Key) (decision ratelimit.Decision, err error) {
	limiter := l.app.lease.Use().Limiter
	decision.Allowed = true
	for i := range l.others {
		other := &l.others[i]
		cost := other.CostOf(r)
		if cost == 0 {
			continue
		}
		asked := other.OtherRequest(r)
		asked.Cost = cost
		next, err := limiter.Allow(r.Context(), asked)
		if decision = decision.And(next); err != nil || !decision.Allowed {
			return decision, err
		}
	}
	if len(l.owners) == 0 {
		return decision, nil
	}
	var few [4]ratelimit.Request
	requests := few[:0]
	for i := range l.owners {
		owner := &l.owners[i]
		if cost := owner.CostOf(r); cost > 0 {
			asked := owner.OwnerRequest(key)
			asked.Cost = cost
			requests = append(requests, asked)
		}
	}
	if len(requests) == 0 {
		return decision, nil
	}
	next, err := limiter.AllowAll(r.Context(), requests)
	if len(l.others) == 0 {
		return next, err
	}
	return decision.And(next), err
}

// parseRedisRateLimit sets up the handler from its directive. It also compares its limits with
// those of the same name in earlier handlers of the Caddyfile.
func parseRedisRateLimit(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(RedisRateLimit)
	d := h.Dispenser
	if err := handler.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	limits, err := handler.resolve()
	if err != nil {
		return nil, d.WrapErr(err)
	}
	type named struct {
		backend.Limit
		where string
	}
	const state = "hoko.limits"
	earlier, ok := h.State[state].(map[string]named)
	if !ok {
		earlier = make(map[string]named)
		h.State[state] = earlier
	}
	for i, l := range limits {
		where := fmt.Sprintf("%s:%d", d.File(), handler.lines[i])
		first, ok := earlier[l.Name]
		if !ok {
			earlier[l.Name] = named{l, where}
		} else if err := checkSameLimit(first.Limit, l); err != nil {
			return nil, fmt.Errorf("%s: %w; the other is at %s", where, err, first.where)
		}
	}
	return handler, nil
}

// UnmarshalCaddyfile sets up the handler from its directive. Syntax:
//
//	redis_rate_limit [<matcher>] {
//		limit    <rate>/<period> [<option> <value>]...
//		name     <name>
//		on_error local|allow|deny
//		max_in_flight <number> [by key|workspace]
//	}
//
// A limit or max_in_flight is required, and both may be repeated. 600/1m is 600 requests per
// minute. Units of the period are ms, s, m, h and d; day and month are those of the calendar, in
// UTC. The options are burst <number>, name <name>, cost <number or placeholder>, on_error
// local|allow|deny, and by key|workspace|client_ip|route|<text with placeholders>. A name in its
// own line is that of an only limit, and an on_error there is the default of all limits.
func (l *RedisRateLimit) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	var name, onError string
	err := parseDirective(d,
		setting{name: "limit", repeats: true, parse: func(d *caddyfile.Dispenser) error {
			parsed, err := parseRateLimit(d)
			if err != nil {
				return err
			}
			l.Limits, l.lines = append(l.Limits, parsed), append(l.lines, d.Line())
			return wrapErr(d, checkNames(l.Limits))
		}},
		setting{name: "max_in_flight", repeats: true, parse: func(d *caddyfile.Dispenser) error {
			parsed, err := parseMaxInFlight(d)
			if err != nil {
				return err
			}
			l.MaxInFlight = append(l.MaxInFlight, parsed)
			return wrapErr(d, checkMaxInFlight(l.MaxInFlight))
		}},
		textSetting("name", &name, ratelimit.ValidateName),
		textSetting("on_error", &onError, func(text string) error {
			_, err := ratelimit.ParseOnError(text)
			return err
		}),
	)
	switch {
	case err != nil:
		return err
	case len(l.Limits) == 0 && len(l.MaxInFlight) == 0:
		return d.Err("redis_rate_limit needs a limit, such as limit 600/1m")
	case len(l.Limits) == 0 && name != "":
		return d.Err("name is the name of a limit: add one, such as limit 600/1m")
	case name != "" && (len(l.Limits) > 1 || l.Limits[0].Name != ""):
		return d.Err("name is for a single limit: give each limit its own, such as limit 600/1m name default")
	}
	l.OnError = ratelimit.OnError(onError)
	if len(l.Limits) == 1 {
		l.RateLimit, l.Limits = l.Limits[0], nil
		if name != "" {
			l.Name = name
		}
		if l.OnError == "" {
			l.OnError = ratelimit.OnError(onError)
		}
	}
	if _, err := l.resolve(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*RedisRateLimit)(nil)
	_ caddyhttp.MiddlewareHandler = (*RedisRateLimit)(nil)
	_ caddyfile.Unmarshaler       = (*RedisRateLimit)(nil)
)
