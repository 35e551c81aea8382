package caddymodule

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
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
	logError(r, err)
	apierror.RespondEarly(w, r, func() { apierror.Write(w, row) })
	return nil
}

// errorLog adds the cause to the access log's line of each error that reaches error routes,
// whatever answers it. Caddy logs such errors at debug level only, because routes handle them.
type errorLog struct{}

// logErrors gives a server's error routes an errorLog. It comes too late for those of a server
// whose only handlers of ours are in named routes: they stay as they are.
func logErrors(server *caddyhttp.Server) {
	if server.Errors == nil {
		return
	}
	first := caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{errorLog{}}}
	server.Errors.Routes = slices.Insert(server.Errors.Routes, 0, first)
}

func (errorLog) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if err, failed := r.Context().Value(caddyhttp.ErrorCtxKey).(error); failed {
		logError(r, err)
	}
	return next.ServeHTTP(w, r)
}

// logError logs the cause of an error, unless the handler that failed has. Others, such as
// reverse_proxy, have not.
func logError(r *http.Request, err error) {
	if caddyhttp.GetVar(r.Context(), causeVar) != nil {
		return
	}
	status, reason := http.StatusInternalServerError, err
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		status = cmp.Or(handlerErr.StatusCode, status)
		reason = cmp.Or(handlerErr.Err, err) // without an ID and a line of Caddy's source
	}
	cause := strings.ToLower(strings.ReplaceAll(http.StatusText(status), " ", "_"))
	if status == statusClientClosedRequest {
		cause = clientGone
	}
	logCause(r, cmp.Or(cause, "status_"+strconv.Itoa(status)), reason.Error())
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
	_ caddyhttp.MiddlewareHandler = errorLog{}
	_ caddyfile.Unmarshaler       = (*APIErrors)(nil)
)
