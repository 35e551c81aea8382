package caddymodule

import (
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/plugin/apierror"
)

// answerMisdirected has the server whose handlers are being provisioned answer 421 to what none of its
// routes is for: a request for a host that no site has. From Caddy it would get an empty 200, and its
// caller would take a sale for recorded that nobody has seen. No port is opened for it, and the
// redirects of automatic HTTPS are among the routes.
func answerMisdirected(ctx caddy.Context) error {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || len(server.Routes) == 0 {
		return nil
	}
	if handlers := server.Routes[0].Handlers; len(handlers) == 1 {
		if _, done := handlers[0].(allRoutes); done {
			return nil
		}
	}
	// Caddy goes on to provision these in place, and compiles what the server has after that.
	routes := server.Routes
	all := caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{allRoutes{sync.OnceValue(func() caddyhttp.Handler {
		return routes.Compile(caddyhttp.HandlerFunc(misdirected))
	})}}}
	if err := all.ProvisionHandlers(ctx, nil); err != nil {
		return err
	}
	server.Routes = caddyhttp.RouteList{all}
	return nil
}

// allRoutes is a server's routes, and misdirected behind them.
type allRoutes struct{ compiled func() caddyhttp.Handler }

func (a allRoutes) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	return a.compiled().ServeHTTP(w, r)
}

func misdirected(w http.ResponseWriter, r *http.Request) error {
	refuse(w, r, "misdirected", func() { apierror.Write(w, apierror.MisdirectedRequest) })
	return nil
}
