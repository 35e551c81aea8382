package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/ratelimit"
)

// RateLimit is one limit of a redis_rate_limit.
type RateLimit struct {
	// Name of the limit in the RateLimit headers, logs and metrics. Limits with the same name share
	// buckets, and must be alike. The limit of a key or of its workspace in Postgres replaces the
	// only limit by key of a handler, or the one named default. Letters, digits, `.`, `_` and `-`.
	// Default: default.
	Name string `json:"name,omitempty"`

	// Requests per period. The period `"day"` or `"month"` is one of the calendar, in UTC. The
	// burst defaults to the rate.
	Limit limit.Limit `json:"limit,omitzero"`

	// What has a bucket: each `key`, `workspace` or `client_ip` (IPv6: each /64), the `route` as a
	// whole, or each text that a text with placeholders expands to. Default: key.
	By string `json:"by,omitempty"`

	// What a request costs: a number, or a placeholder, whose text may be 0 for a request that is
	// not limited. A request never costs more than the bucket holds. Default: 1.
	Cost string `json:"cost,omitempty"`

	// What happens if Redis is unreachable: `local` counts in each edge's memory, `allow` admits
	// every request, `deny` answers 503. Default: local.
	OnError ratelimit.OnError `json:"on_error,omitempty"`
}

// resolve returns the limit with its defaults, or an error if it makes no sense.
func (l RateLimit) resolve(onError ratelimit.OnError) (backend.Limit, error) {
	resolved := backend.Limit{
		Name: cmp.Or(l.Name, "default"), By: cmp.Or(l.By, backend.ByKey), Limit: l.Limit, Cost: l.Cost,
		OnError: cmp.Or(l.OnError, onError, ratelimit.Local),
	}
	if err := ratelimit.ValidateName(resolved.Name); err != nil {
		return resolved, err
	}
	if _, err := ratelimit.ParseOnError(string(resolved.OnError)); err != nil {
		return resolved, fmt.Errorf("on_error: %w", err)
	}
	if err := l.Limit.Validate(); err != nil {
		return resolved, fmt.Errorf("limit: %w", err)
	}
	if err := checkBy(resolved.By); err != nil {
		return resolved, err
	}
	return resolved, l.checkCost()
}

func checkBy(by string) error {
	switch by {
	case backend.ByKey, backend.ByWorkspace, backend.ByClientIP, backend.ByRoute:
		return nil
	}
	if err := checkPlaceholders(by); err != nil {
		return fmt.Errorf("by %s: %w: want key, workspace, client_ip, route or a placeholder such as "+
			"{http.request.host}", by, err)
	}
	return nil
}

func (l RateLimit) checkCost() error {
	if l.Cost == "" {
		return nil
	}
	cost, err := strconv.Atoi(l.Cost)
	if err == nil {
		switch {
		case cost < 1:
			return fmt.Errorf("cost must be at least 1, not %d", cost)
		case cost > l.Limit.Burst:
			return fmt.Errorf("a cost of %d is more than the limit %s ever holds: "+
				"raise the limit, or its burst, to %[1]d", cost, l.Limit)
		}
		return nil
	}
	if err := checkPlaceholders(l.Cost); err != nil {
		return fmt.Errorf("cost %s: %w: want a whole number, or a placeholder", l.Cost, err)
	}
	return nil
}

// openNamespaces are those of placeholders whose names depend on the request or on other handlers.
var openNamespaces = []string{"http.vars.", "http.auth.", "http.regexp.", "http.request.tls."}

// checkPlaceholders returns an error unless a text has placeholders that Caddy knows. Those without
// a dot may be outputs of a map handler.
func checkPlaceholders(text string) error {
	request, err := http.NewRequest(http.MethodGet, "https://example.com/", nil)
	if err != nil {
		return err
	}
	known, rest, found := caddyhttp.NewTestReplacer(request), text, false
	for {
		_, after, open := strings.Cut(rest, "{")
		if !open {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed || name == "" {
			return errors.New("a placeholder is not closed")
		}
		if strings.HasPrefix(name, "http.request.body") {
			return fmt.Errorf("{%s} would wait for the whole body", name)
		}
		rest, found = after, true
		if isKnown(known, name) || !strings.Contains(name, ".") || hasAnyPrefix(name, openNamespaces) {
			continue
		}
		return fmt.Errorf("unknown placeholder {%s}", name)
	}
	if !found {
		return errors.New("it has no placeholder")
	}
	return nil
}

// isKnown reports whether Caddy has a placeholder. Some that it has panic outside of a server.
func isKnown(replacer *caddy.Replacer, name string) (known bool) {
	defer func() {
		if recover() != nil {
			known = true
		}
	}()
	_, known = replacer.Get(name)
	return known
}

func hasAnyPrefix(text string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

// checkSameLimit returns an error if two limits of one name differ in what their buckets are.
func checkSameLimit(a, b backend.Limit) error {
	switch {
	case a.Limit != b.Limit || a.By != b.By:
		return fmt.Errorf("limits with the same name share buckets, but two named %q are different (%s by %s, "+
			"%s by %s): rename one", a.Name, a.Limit, a.By, b.Limit, b.By)
	case a.Overridable != b.Overridable:
		return fmt.Errorf("limits with the same name share buckets, but the limit of a key replaces %q in only one "+
			"of two handlers, because the other has several limits: rename one", a.Name)
	case a.Grouped != b.Grouped:
		return fmt.Errorf("limits with the same name share buckets, but only one handler has %q together with "+
			"a limit by workspace, so that its buckets are elsewhere: rename one", a.Name)
	}
	return nil
}

// checkNames returns an error if two limits have the same name.
func checkNames(limits []RateLimit) error {
	seen := make(map[string]bool)
	for _, l := range limits {
		name := cmp.Or(l.Name, "default")
		if seen[name] {
			return fmt.Errorf("two limits are named %q: add name <name> to one", name)
		}
		seen[name] = true
	}
	return nil
}

const limitForm = "limit must be <rate>/<period> [burst <number>] [name <name>] [by <what>] " +
	"[cost <number or placeholder>] [on_error local|allow|deny]"

// parseRateLimit reads the arguments of a limit subdirective.
func parseRateLimit(d *caddyfile.Dispenser) (l RateLimit, err error) {
	args := d.RemainingArgs()
	if len(args)%2 == 0 {
		return l, d.Err(limitForm)
	}
	if l.Limit, err = limit.Parse(args[0]); err != nil {
		return l, d.WrapErr(err)
	}
	seen := make(map[string]bool)
	for i := 1; i < len(args); i += 2 {
		option, value := args[i], args[i+1]
		if seen[option] {
			return l, d.Errf("%s is given twice", option)
		}
		seen[option] = true
		switch option {
		case "burst":
			if l.Limit.Burst, err = strconv.Atoi(value); err != nil {
				return l, d.Errf("burst must be a whole number, not %q", value)
			}
			if err := l.Limit.Validate(); err != nil {
				return l, d.WrapErr(err)
			}
		case "name":
			l.Name = value
		case "by":
			l.By = value
		case "cost":
			l.Cost = value
		case "on_error":
			l.OnError = ratelimit.OnError(value)
		default:
			return l, d.Errf("unrecognized option %q: %s", option, limitForm)
		}
	}
	_, err = l.resolve("")
	return l, wrapErr(d, err)
}
