package health

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Handler answers whether the edge is ready, for load balancers: 200 if it is, also if Postgres,
// Redis or the site is down, and 503 while the edge starts or stops. Use it where only balancers
// can reach it, because the answer names the parts that are down.
type Handler struct{}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.hoko_health", New: func() caddy.Module { return new(Handler) }}
}

// Provision returns an error if the config has no app `hoko`: there would be nothing to report on.
func (Handler) Provision(ctx caddy.Context) error {
	_, err := ctx.AppIfConfigured("hoko")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return errors.New("the global options have no hoko block, and hoko_health reports on its parts")
	}
	return err
}

// ServeHTTP answers every request.
func (Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if !Allowed(r.Method) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Allow", Allow)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return nil
	}
	return Ready().Write(w)
}

// UnmarshalCaddyfile sets up the handler from its directive. Syntax:
//
//	hoko_health [<matcher>]
func (*Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.CountRemainingArgs() > 0 || d.NextBlock(0) {
		return d.ArgErr()
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = Handler{}
	_ caddyhttp.MiddlewareHandler = Handler{}
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
