package caddymodule

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/plugin/apierror"
)

// APIErrors answers an error in the API's envelope, in both languages, by its
// status. It belongs into error routes (`handle_errors`); elsewhere, where there
// is no error, it does nothing.
type APIErrors struct{}

// CaddyModule returns the Caddy module information.
func (APIErrors) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.api_errors",
		New: func() caddy.Module { return new(APIErrors) },
	}
}

func (APIErrors) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	err, failed := r.Context().Value(caddyhttp.ErrorCtxKey).(error)
	if !failed {
		return next.ServeHTTP(w, r)
	}
	markOwn(w, r)
	apierror.Refuse(w, r, func() { apierror.Write(w, rowOf(err)) })
	return nil
}

// rowOf is what an error says. A status that the table does not know, such as
// 421, stays, with the words of the nearest that it does.
func rowOf(err error) *apierror.Error {
	status := http.StatusInternalServerError
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok && handlerErr.StatusCode >= 400 && handlerErr.StatusCode <= 599 {
		status = handlerErr.StatusCode
	}
	row := *apierror.ForStatus(status)
	row.Status = status
	return &row
}

// UnmarshalCaddyfile sets the handler up from its directive. Syntax:
//
//	api_errors [<matcher>]
//
// It belongs into handle_errors.
func (*APIErrors) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.CountRemainingArgs() > 0 || d.NextBlock(0) {
		return d.ArgErr()
	}
	return nil
}

// Interface guards
var (
	_ caddyhttp.MiddlewareHandler = (*APIErrors)(nil)
	_ caddyfile.Unmarshaler       = (*APIErrors)(nil)
)
