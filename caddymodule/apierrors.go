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

	"hoko.to/edge/caddymodule/health"
	"hoko.to/edge/caddymodule/request"
	"hoko.to/edge/plugin/apierror"
)

// APIErrors answers an error with the API's bilingual error body for its status. A 405 without an
// Allow header gets one that names the usual methods. Use it in error routes (`handle_errors`). In
// other routes, it passes every request on.
type APIErrors struct{}

// CaddyModule returns the Caddy module information.
func (APIErrors) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.api_errors", New: func() caddy.Module { return new(APIErrors) }}
}

// usualMethods is the Allow header of a 405 that has none, such as Caddy's own for a method of more
// than 32 characters.
const usualMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// ServeHTTP answers the error for which Caddy runs the error routes, if any.
func (APIErrors) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	err, failed := r.Context().Value(caddyhttp.ErrorCtxKey).(error)
	if !failed {
		return next.ServeHTTP(w, r)
	}
	envelope := envelopeFor(err)
	if envelope.Status == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
		w.Header().Set("Allow", usualMethods)
	}
	request.SetID(w, r)
	logError(r, err)
	apierror.RespondEarly(w, r, func() { apierror.Write(w, envelope) })
	return nil
}

// errorLogger adds the cause of each error that reaches error routes to the access log, whichever
// route answers it. Caddy logs such errors only at level DEBUG.
type errorLogger struct{}

// addErrorLogger puts an errorLogger in front of a server's error routes. It has no effect if the
// server uses this module only in named routes, which Caddy provisions after the error routes.
func addErrorLogger(server *caddyhttp.Server) {
	if server.Errors == nil {
		return
	}
	first := caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{errorLogger{}}}
	server.Errors.Routes = slices.Insert(server.Errors.Routes, 0, first)
}

func (errorLogger) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if err, failed := r.Context().Value(caddyhttp.ErrorCtxKey).(error); failed {
		logError(r, err)
	}
	return next.ServeHTTP(w, r)
}

// logError logs the cause of an error, unless the handler that failed has logged it. Caddy's own
// handlers, such as reverse_proxy, do not.
func logError(r *http.Request, err error) {
	rec := request.Of(r)
	if rec.HasCause() {
		return
	}
	status, reason := http.StatusInternalServerError, err
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		status = cmp.Or(handlerErr.StatusCode, status)
		reason = cmp.Or(handlerErr.Err, err) // omits the ID and source line that HandlerError adds
	}
	cause := strings.ToLower(strings.ReplaceAll(http.StatusText(status), " ", "_"))
	if status == statusClientClosedRequest {
		cause = clientGone
	}
	rec.SetCause(cmp.Or(cause, "status_"+strconv.Itoa(status)), reason.Error())
	if status < http.StatusInternalServerError {
		return
	}
	if status >= http.StatusBadGateway && status <= http.StatusGatewayTimeout {
		health.SiteFailed()
	}
	request.LogFailure(r, caddy.Log().Named("http.log.error"), request.Site, status, reason)
}

// envelopeFor returns the response for an error. A status that is not in the table, such as 414,
// keeps its number and gets the text of the nearest status.
func envelopeFor(err error) *apierror.Error {
	status := http.StatusInternalServerError
	if e, ok := errors.AsType[caddyhttp.HandlerError](err); ok && e.StatusCode >= 400 && e.StatusCode <= 599 {
		status = e.StatusCode
	}
	envelope := *apierror.ForStatus(status)
	envelope.Status = status
	return &envelope
}

// UnmarshalCaddyfile sets up the handler from its directive. Syntax:
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
	_ caddyhttp.MiddlewareHandler = errorLogger{}
	_ caddyfile.Unmarshaler       = (*APIErrors)(nil)
)
