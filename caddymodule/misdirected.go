package caddymodule

import (
	"errors"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

var errMisdirected = errors.New("no site of this server has the host")

// misdirected is a matcher that matches no request. It fails with 421 (RFC 9110, section 15.5.20) if
// no site has the request's host.
type misdirected struct {
	otherHosts caddyhttp.MatchNot
}

// MatchWithError implements [caddyhttp.RequestMatcherWithError].
func (m misdirected) MatchWithError(r *http.Request) (bool, error) {
	if other, err := m.otherHosts.MatchWithError(r); !other || err != nil {
		return false, err
	}
	logField(r, "cause", "host")
	return false, caddyhttp.Error(http.StatusMisdirectedRequest, errMisdirected)
}

// answerMisdirected makes the server that a handler belongs to answer 421 to requests for a host
// that none of its sites has. Caddy answers them with an empty 200, so a caller would take its sale
// for recorded.
//
// Like the redirects of automatic HTTPS, this is not part of the config: a site without a host would
// need the port of each server, and would open a port that no other site has. A server that has a
// route for all hosts, such as that of a site without a host, stays as it is.
func answerMisdirected(ctx caddy.Context) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || len(server.Routes) == 0 {
		return
	}
	var otherHosts caddyhttp.MatchNot
	for _, route := range server.Routes {
		if len(route.MatcherSets) == 0 {
			return
		}
		for _, set := range route.MatcherSets {
			i := slices.IndexFunc(set, func(matcher any) bool { _, ok := matcher.(*caddyhttp.MatchHost); return ok })
			if i < 0 {
				return // also if an earlier handler of this server was here
			}
			otherHosts.MatcherSets = append(otherHosts.MatcherSets, set[i:i+1])
		}
	}
	// The server is provisioning its routes, so it is too late for another one. An alternative of the
	// last route comes after all sites as well.
	last := &server.Routes[len(server.Routes)-1]
	last.MatcherSets = append(last.MatcherSets, caddyhttp.MatcherSet{misdirected{otherHosts}})
	if server.Errors == nil {
		server.Errors = new(caddyhttp.HTTPErrorConfig)
	}
	server.Errors.Routes = append(server.Errors.Routes, caddyhttp.Route{
		MatcherSets: caddyhttp.MatcherSets{{otherHosts}},
		Handlers:    []caddyhttp.MiddlewareHandler{APIErrors{}},
	})
}

// Interface guard
var _ caddyhttp.RequestMatcherWithError = misdirected{}
