package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/caddymodule/backend"
)

// authCheck finds the handlers of a server that need a verified key but have no api_key_auth before
// them. It knows the order and the matchers of the routes, but not which requests a matcher
// matches.
type authCheck struct {
	namedRoutes map[string]*caddyhttp.Route
	invoked     []string  // named routes that a handler invokes
	authsBefore []nesting // of each api_key_auth that runs before the current handler
	hasAuth     bool      // whether the server has an api_key_auth at all
	unverified  []string  // handlers without an api_key_auth before them
}

// nesting is the routes around a handler, outermost first.
type nesting []*enclosingRoute

type enclosingRoute struct {
	group   string
	match   any    // the matcher sets, as JSON or provisioned; nil matches all requests
	invoked string // the name of a named route, if this is an invoke handler instead of a route
}

func (c *authCheck) walkServer(server *caddyhttp.Server) {
	for _, route := range server.Routes {
		c.walkRoute(route, nil)
	}
	c.authsBefore = nil
	if server.Errors != nil {
		for _, route := range server.Errors.Routes {
			c.walkRoute(route, nil)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(server.NamedRoutes)) {
		if !slices.Contains(c.invoked, name) {
			c.authsBefore = nil
			c.walkRoute(*server.NamedRoutes[name], nil)
		}
	}
}

func (c *authCheck) walkRoute(route caddyhttp.Route, in nesting) {
	entered := &enclosingRoute{group: route.Group}
	if len(route.MatcherSets) > 0 { // Caddy provisions the matchers of a server's routes first
		entered.match = decodeProvisioned(route.MatcherSets)
	} else if len(route.MatcherSetsRaw) > 0 {
		entered.match = decode(route.MatcherSetsRaw)
	}
	for _, raw := range route.HandlersRaw {
		c.walkConfig(decode(raw), append(slices.Clip(in), entered))
	}
}

// decode returns a part of the config as encoding/json decodes it into an any. It returns nil if
// the part is invalid, because Caddy reports that.
func decode(part any) (value any) {
	encoded, err := json.Marshal(part)
	if err != nil || json.Unmarshal(encoded, &value) != nil {
		return nil
	}
	return value
}

// decodeProvisioned returns provisioned matcher sets in the form of decode. Matchers other than
// host, method and path stay as they are, so they equal only matchers that are provisioned, too.
func decodeProvisioned(sets caddyhttp.MatcherSets) any {
	var all []any
	for _, set := range sets {
		matchers := make(map[string]any)
		for _, matcher := range set {
			switch matcher := matcher.(type) {
			case *caddyhttp.MatchHost:
				matchers["host"] = decode(matcher)
			case *caddyhttp.MatchMethod:
				matchers["method"] = decode(matcher)
			case *caddyhttp.MatchPath:
				matchers["path"] = decode(matcher)
			default:
				matchers[fmt.Sprintf("%T", matcher)] = matcher
			}
		}
		all = append(all, matchers)
	}
	return all
}

// walkConfig visits the routes and handlers in a decoded part of the config.
func (c *authCheck) walkConfig(value any, in nesting) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			c.walkConfig(element, in)
		}
	case map[string]any:
		if handlers, isRoute := value["handle"]; isRoute {
			group, _ := value["group"].(string)
			c.walkConfig(handlers, append(slices.Clip(in), &enclosingRoute{group: group, match: value["match"]}))
			return
		}
		name, _ := value["handler"].(string)
		c.walkHandler(name, value, in)
	}
}

func (c *authCheck) walkHandler(name string, config map[string]any, in nesting) {
	switch name {
	case "api_key_auth":
		c.authsBefore, c.hasAuth = append(c.authsBefore, in), true
	case "redis_rate_limit", "track_sale":
		if name == "redis_rate_limit" && !needsKey(config) {
			return
		}
		if !slices.ContainsFunc(c.authsBefore, in.isAfter) && !slices.Contains(c.unverified, name) {
			c.unverified = append(c.unverified, name)
		}
	case "invoke":
		name, _ := config["name"].(string)
		route := c.namedRoutes[name]
		recursive := slices.ContainsFunc(in, func(r *enclosingRoute) bool { return r.invoked == name })
		if route != nil && !recursive {
			c.invoked = append(c.invoked, name)
			c.walkRoute(*route, append(slices.Clip(in), &enclosingRoute{invoked: name}))
		}
	default:
		for _, key := range slices.Sorted(maps.Keys(config)) {
			before := c.authsBefore
			c.walkConfig(config[key], in)
			if key != "routes" { // routes for errors and responses pass no key to later handlers
				c.authsBefore = before
			}
		}
	}
}

// needsKey reports whether a redis_rate_limit has a limit by key or workspace, or a maximum in
// flight.
func needsKey(config map[string]any) bool {
	if maxima, _ := config["max_in_flight"].([]any); len(maxima) > 0 {
		return true
	}
	limits, _ := config["limits"].([]any)
	if len(limits) == 0 {
		limits = []any{config}
	}
	return slices.ContainsFunc(limits, func(l any) bool {
		configured, _ := l.(map[string]any)
		by, _ := configured["by"].(string)
		return by == "" || by == backend.ByKey || by == backend.ByWorkspace
	})
}

// isAfter reports whether every request that reaches a handler nested in n has also passed the
// handler nested in earlier. It is false if this cannot be shown.
func (n nesting) isAfter(earlier nesting) bool {
	return !slices.ContainsFunc(earlier, func(passed *enclosingRoute) bool {
		if slices.Contains(n, passed) {
			return false
		}
		inGroup := func(r *enclosingRoute) bool { return r.group != "" && r.group == passed.group }
		hasMatch := func(r *enclosingRoute) bool { return implies(r.match, passed.match) }
		return slices.ContainsFunc(n, inGroup) || passed.match != nil && !slices.ContainsFunc(n, hasMatch)
	})
}

// implies reports whether each request that matches one, a route's matcher sets, also matches
// other.
func implies(one, other any) bool {
	sets, ok := one.([]any)
	otherSets, ok2 := other.([]any)
	if !ok || !ok2 {
		return reflect.DeepEqual(one, other)
	}
	return !slices.ContainsFunc(sets, func(set any) bool {
		return !slices.ContainsFunc(otherSets, func(other any) bool { return setImplies(set, other) })
	})
}

// setImplies is implies for single matcher sets, whose matchers must all match.
func setImplies(one, other any) bool {
	matchers, _ := one.(map[string]any)
	others, _ := other.(map[string]any)
	for name, matcher := range others {
		if !reflect.DeepEqual(matchers[name], matcher) && !listImplies(name, matchers[name], matcher) {
			return false
		}
	}
	return true
}

// listImplies is implies for the lists of host, method and path matchers: other contains each
// element of one or, if it is a path, a prefix of it that ends with *.
func listImplies(name string, one, other any) bool {
	if name != "host" && name != "method" && name != "path" {
		return false
	}
	elements, _ := one.([]any)
	others, _ := other.([]any)
	return len(elements) > 0 && !slices.ContainsFunc(elements, func(element any) bool {
		return !slices.ContainsFunc(others, func(other any) bool {
			narrow, wide := strings.ToLower(fmt.Sprint(element)), strings.ToLower(fmt.Sprint(other))
			prefix, isPrefix := strings.CutSuffix(wide, "*")
			isPrefix = isPrefix && name == "path" && !strings.Contains(prefix, "*") // an inner * stops at /
			return narrow == wide || isPrefix && strings.HasPrefix(narrow, prefix)
		})
	})
}
