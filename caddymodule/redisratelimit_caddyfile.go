package caddymodule

import (
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/ratelimit"
)

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

// Interface guard
var _ caddyfile.Unmarshaler = (*RedisRateLimit)(nil)
