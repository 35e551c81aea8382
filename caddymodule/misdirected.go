package caddymodule

import (
	"errors"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

var errMisdirected = errors.New("no site of this server has the host")

// misdirected is the host matcher of a site. It fails with 421 (RFC 9110, section 15.5.20) if no site of
// the server has the request's host.
type misdirected struct {
	site, otherHosts caddyhttp.RequestMatcherWithError
}

// MatchWithError implements [caddyhttp.RequestMatcherWithError].
func (m misdirected) MatchWithError(r *http.Request) (bool, error) {
	if match, err := m.site.MatchWithError(r); match || err != nil {
		return match, err
	}
	if other, err := m.otherHosts.MatchWithError(r); !other || err != nil {
		return false, err
	}
	logCause(r, "host", "")
	return false, caddyhttp.Error(http.StatusMisdirectedRequest, errMisdirected)
}

// answerMisdirected makes a server answer 421 to requests for a host
// that none of its sites has. Caddy answers them with an empty 200, so a caller would take its sale
// for recorded.
//
// Like the redirects of automatic HTTPS, this is not part of the config: a site without a host would
// need the port of each server, and would open a port that no other site has. A server that has a
// route for all hosts, such as that of a site without a host, stays as it is.
func answerMisdirected(server *caddyhttp.Server) {
	if len(server.Routes) == 0 {
		return
	}
	var otherHosts caddyhttp.MatchNot
	for _, route := range server.Routes {
		if len(route.MatcherSets) == 0 {
			return
		}
		for _, set := range route.MatcherSets {
			i := hostMatcher(set)
			if i < 0 {
				return
			}
			otherHosts.MatcherSets = append(otherHosts.MatcherSets, caddyhttp.MatcherSet{set[i]})
		}
	}
	// Caddy sets up named routes once it has copied the others, but not their sets of matchers: one is
	// replaced. That of the last route comes after all sites.
	last := server.Routes[len(server.Routes)-1].MatcherSets[0]
	i := hostMatcher(last)
	last[0], last[i] = last[i], last[0]
	last[0] = misdirected{last[0].(*caddyhttp.MatchHost), otherHosts}
	// Like every other error, the 421 has no body if there are no error routes: as soon as there is one, Caddy
	// logs no error above debug level. The same if they have been copied.
	if server.Errors == nil || !slices.ContainsFunc(server.Routes, isBeingProvisioned) {
		return
	}
	server.Errors.Routes = append(server.Errors.Routes, caddyhttp.Route{
		MatcherSets: caddyhttp.MatcherSets{{otherHosts}},
		Handlers:    []caddyhttp.MiddlewareHandler{APIErrors{}},
	})
}

func hostMatcher(set caddyhttp.MatcherSet) int {
	return slices.IndexFunc(set, func(matcher any) bool { _, ok := matcher.(*caddyhttp.MatchHost); return ok })
}

// isBeingProvisioned reports whether a route has handlers that are not set up yet.
func isBeingProvisioned(route caddyhttp.Route) bool { return len(route.HandlersRaw) > 0 }

// Interface guard
var _ caddyhttp.RequestMatcherWithError = misdirected{}
