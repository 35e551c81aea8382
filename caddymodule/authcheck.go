package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// authCheck looks in the routes of a server for handlers that need a verified key and have no
// api_key_auth before them. It knows conditions and order of the routes, but not what matches a
// request.
type authCheck struct {
	named      map[string]*caddyhttp.Route
	invoked    []string // names of those that some handler invokes
	before     []place  // of each api_key_auth that is before the current place
	found      bool     // an api_key_auth, anywhere
	unverified []string // names of the handlers before which none is seen
}

// place is where a handler is: the routes that lead to it, the outermost first.
type place []*step

// step is what a request must meet to enter a route.
type step struct {
	group   string
	match   any    // the matcher sets, as JSON or provisioned; nil matches all requests
	invoked string // the name of the named route, unless it is "": then the step is an invoke
}

func (c *authCheck) server(server *caddyhttp.Server) {
	for _, route := range server.Routes {
		c.route(route, nil)
	}
	c.before = nil
	if server.Errors != nil {
		for _, route := range server.Errors.Routes {
			c.route(route, nil)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(server.NamedRoutes)) {
		if !slices.Contains(c.invoked, name) {
			c.before = nil
			c.route(*server.NamedRoutes[name], nil)
		}
	}
}

func (c *authCheck) route(route caddyhttp.Route, at place) {
	entered := &step{group: route.Group}
	if len(route.MatcherSets) > 0 { // Caddy provisions those of a server's routes first
		entered.match = provisioned(route.MatcherSets)
	} else if len(route.MatcherSetsRaw) > 0 {
		entered.match = decoded(route.MatcherSetsRaw)
	}
	for _, raw := range route.HandlersRaw {
		c.walk(decoded(raw), append(slices.Clip(at), entered))
	}
}

// decoded returns a part of the config as encoding/json decodes it, nil if it is invalid: Caddy
// says so.
func decoded(part any) (value any) {
	encoded, err := json.Marshal(part)
	if err != nil || json.Unmarshal(encoded, &value) != nil {
		return nil
	}
	return value
}

// provisioned returns matcher sets as decoded does. Matchers other than lists of texts stay as they
// are: they are equal to those of another route only if both are provisioned.
func provisioned(sets caddyhttp.MatcherSets) any {
	var all []any
	for _, set := range sets {
		matchers := make(map[string]any)
		for _, matcher := range set {
			switch matcher := matcher.(type) {
			case *caddyhttp.MatchHost:
				matchers["host"] = decoded(matcher)
			case *caddyhttp.MatchMethod:
				matchers["method"] = decoded(matcher)
			case *caddyhttp.MatchPath:
				matchers["path"] = decoded(matcher)
			default:
				matchers[fmt.Sprintf("%T", matcher)] = matcher
			}
		}
		all = append(all, matchers)
	}
	return all
}

// walk visits the routes and handlers in a value.
func (c *authCheck) walk(value any, at place) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			c.walk(element, at)
		}
	case map[string]any:
		if handlers, isRoute := value["handle"]; isRoute {
			group, _ := value["group"].(string)
			c.walk(handlers, append(slices.Clip(at), &step{group: group, match: value["match"]}))
			return
		}
		name, _ := value["handler"].(string)
		c.handler(name, value, at)
	}
}

func (c *authCheck) handler(name string, config map[string]any, at place) {
	switch name {
	case "api_key_auth":
		c.before, c.found = append(c.before, at), true
	case "redis_rate_limit", "track_sale":
		if !slices.ContainsFunc(c.before, at.isAfter) && !slices.Contains(c.unverified, name) {
			c.unverified = append(c.unverified, name)
		}
	case "invoke":
		name, _ := config["name"].(string)
		isThis := func(s *step) bool { return s.invoked == name }
		if route := c.named[name]; route != nil && !slices.ContainsFunc(at, isThis) { // it may invoke itself
			c.invoked = append(c.invoked, name)
			c.route(*route, append(slices.Clip(at), &step{invoked: name}))
		}
	default:
		for _, key := range slices.Sorted(maps.Keys(config)) {
			before := c.before
			c.walk(config[key], at)
			if key != "routes" { // those of errors and responses hand no key to later handlers
				c.before = before
			}
		}
	}
}

// isAfter reports whether every request at this place has passed the earlier place, as far as can
// be seen.
func (p place) isAfter(earlier place) bool {
	return !slices.ContainsFunc(earlier, func(passed *step) bool {
		if slices.Contains(p, passed) {
			return false
		}
		return slices.ContainsFunc(p, func(s *step) bool { return s.group != "" && s.group == passed.group }) ||
			passed.match != nil && !slices.ContainsFunc(p, func(s *step) bool { return implies(s.match, passed.match) })
	})
}

// implies reports whether each request that the matcher sets of one route match is matched by those
// of another.
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

// setImplies is implies for one set, of which a request meets all matchers.
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

// listImplies reports whether each text of one matcher is among those of another of this name, or
// is a path that begins as one of the others that end with *.
func listImplies(name string, one, other any) bool {
	if name != "host" && name != "method" && name != "path" {
		return false
	}
	texts, _ := one.([]any)
	others, _ := other.([]any)
	return len(texts) > 0 && !slices.ContainsFunc(texts, func(text any) bool {
		return !slices.ContainsFunc(others, func(other any) bool {
			narrow, wide := strings.ToLower(fmt.Sprint(text)), strings.ToLower(fmt.Sprint(other))
			prefix, isPrefix := strings.CutSuffix(wide, "*")
			isPrefix = isPrefix && name == "path" && !strings.Contains(prefix, "*") // an inner * ends at a slash
			return narrow == wide || isPrefix && strings.HasPrefix(narrow, prefix)
		})
	})
}
