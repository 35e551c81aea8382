package caddymodule

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/plugin/apierror"
)

// APIErrors answers an error in the API's envelope, in both languages, by its status. A 405 without an
// Allow header gets one that names the usual methods. Use it in error routes (`handle_errors`). In
// other routes there is no error, and it does nothing.
type APIErrors struct{}

// CaddyModule returns the Caddy module information.
func (APIErrors) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.api_errors", New: func() caddy.Module { return new(APIErrors) }}
}

// usualMethods is the Allow of a 405 that has none, such as Caddy's own for a method of more than 32
// characters.
const usualMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

func (APIErrors) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	err, failed := r.Context().Value(caddyhttp.ErrorCtxKey).(error)
	if !failed {
		return next.ServeHTTP(w, r)
	}
	row := rowOf(err)
	if row.Status == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
		w.Header().Set("Allow", usualMethods)
	}
	markOwn(w, r)
	if caddyhttp.GetVar(r.Context(), causeVar) == nil { // another handler's error, such as reverse_proxy's
		logCause(r, strings.ToLower(strings.ReplaceAll(http.StatusText(row.Status), " ", "_")), reasonOf(err))
	}
	apierror.Refuse(w, r, func() { apierror.Write(w, row) })
	return nil
}

// reasonOf returns an error's text without what Caddy adds of its own: an ID and a line of its
// source.
func reasonOf(err error) string {
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok && handlerErr.Err != nil {
		return handlerErr.Err.Error()
	}
	return err.Error()
}

// rowOf returns the row of the table for an error. A status that the table lacks, such as 414, is
// kept, with the text of the nearest status.
func rowOf(err error) *apierror.Error {
	status := http.StatusInternalServerError
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok && handlerErr.StatusCode >= 400 && handlerErr.StatusCode <= 599 {
		status = handlerErr.StatusCode
	}
	row := *apierror.ForStatus(status)
	row.Status = status
	return &row
}

// UnmarshalCaddyfile sets up the handler from its directive. Use it in handle_errors. Syntax:
//
//	api_errors [<matcher>]
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
