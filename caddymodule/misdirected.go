package caddymodule

import (
	"errors"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/caddymodule/request"
)

// misdirectedMatcher is the host matcher of a site. It fails with 421 (RFC 9110, section 15.5.20)
// if no site of the server has the request's host.
type misdirectedMatcher struct {
	site, otherHosts caddyhttp.RequestMatcherWithError
}

func (m misdirectedMatcher) MatchWithError(r *http.Request) (bool, error) {
	if match, err := m.site.MatchWithError(r); match || err != nil {
		return match, err
	}
	if other, err := m.otherHosts.MatchWithError(r); !other || err != nil {
		return false, err
	}
	request.Of(r).SetCause("host", "")
	return false, caddyhttp.Error(http.StatusMisdirectedRequest, errors.New("no site of this server has the host"))
}

// rejectMisdirected makes a server answer 421 to requests for hosts that none of its sites has.
// Caddy would answer them with an empty 200, as if their sales were recorded. A server with a route
// for all hosts, such as that of a site without a host, does not change.
//
// This happens at runtime, like the redirects of automatic HTTPS: a fallback site in the Caddyfile
// would have to name each server's port, and would open a port that no other site uses.
func rejectMisdirected(ctx caddy.Context, server *caddyhttp.Server) {
	if len(server.Routes) == 0 {
		return
	}
	var otherHosts caddyhttp.MatchNot
	for _, route := range server.Routes {
		if len(route.MatcherSets) == 0 {
			return
		}
		for _, set := range route.MatcherSets {
			i := hostMatcherIndex(set)
			if i < 0 {
				return
			}
			otherHosts.MatcherSets = append(otherHosts.MatcherSets, caddyhttp.MatcherSet{set[i]})
		}
	}
	// Caddy may have copied the routes already, but the copies share their matcher sets, so
	// replacing a matcher works. The matcher of the last route runs after those of all other sites.
	last := server.Routes[len(server.Routes)-1].MatcherSets[0]
	i := hostMatcherIndex(last)
	last[0], last[i] = last[i], last[0]
	last[0] = misdirectedMatcher{last[0].(*caddyhttp.MatchHost), otherHosts}
	if canAddErrorRoutes(server) { // otherwise, the 421 has no body
		server.Errors.Routes = append(server.Errors.Routes, caddyhttp.Route{
			MatcherSets: caddyhttp.MatcherSets{{otherHosts}},
			Handlers:    []caddyhttp.MiddlewareHandler{&APIErrors{newErrorLogger(ctx)}},
		})
	}
}

func hostMatcherIndex(set caddyhttp.MatcherSet) int {
	return slices.IndexFunc(set, func(m any) bool { _, ok := m.(*caddyhttp.MatchHost); return ok })
}

// Interface guard
var _ caddyhttp.RequestMatcherWithError = misdirectedMatcher{}
