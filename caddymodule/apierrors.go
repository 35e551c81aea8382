package caddymodule

import (
	"cmp"
	"errors"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/caddymodule/health"
	"hoko.to/edge/caddymodule/request"
	"hoko.to/edge/plugin/apierror"
)

// APIErrors answers an error with the API's bilingual error body for its status. A 405 without an
// Allow header gets one that names the usual methods. Use it in error routes (`handle_errors`). In
// other routes, it passes every request on.
type APIErrors struct{ logger errorLogger }

// CaddyModule returns the Caddy module information.
func (APIErrors) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.api_errors", New: func() caddy.Module { return new(APIErrors) }}
}

// Provision sets up the handler.
func (e *APIErrors) Provision(ctx caddy.Context) error {
	e.logger = newErrorLogger(ctx)
	return nil
}

// usualMethods is the Allow header of a 405 that has none, such as Caddy's own for a method of more
// than 32 characters.
const usualMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// ServeHTTP answers the error for which Caddy runs the error routes, if any.
func (e *APIErrors) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	err, failed := r.Context().Value(caddyhttp.ErrorCtxKey).(error)
	if !failed {
		return next.ServeHTTP(w, r)
	}
	envelope := envelopeFor(err)
	if envelope.Status == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
		w.Header().Set("Allow", usualMethods)
	}
	request.SetID(w, r)
	e.logger.log(r, err)
	apierror.RespondEarly(w, r, func() { apierror.Write(w, envelope) })
	return nil
}

// errorLogger adds the cause of each error to the access log, whichever error route answers it, and
// logs that of a 5xx. Caddy logs errors only at level DEBUG if there are error routes, and all of
// them at level ERROR otherwise, which fills disks in an outage.
type errorLogger struct{ *zap.Logger }

// newErrorLogger returns one that logs as Caddy's servers do.
func newErrorLogger(ctx caddy.Context) errorLogger {
	return errorLogger{ctx.Logger(new(caddyhttp.App)).Named("log.error")}
}

// addErrorLogger puts an errorLogger in front of a server's error routes.
func addErrorLogger(ctx caddy.Context, server *caddyhttp.Server) {
	if !canAddErrorRoutes(server) {
		return
	}
	if server.Errors == nil {
		server.Errors = new(caddyhttp.HTTPErrorConfig)
	}
	first := caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{newErrorLogger(ctx)}}
	server.Errors.Routes = slices.Insert(server.Errors.Routes, 0, first)
}

// canAddErrorRoutes reports whether Caddy has yet to provision a server's error routes, which it
// does after the routes. If the server uses this module only in named routes, it is too late.
func canAddErrorRoutes(server *caddyhttp.Server) bool {
	unprovisioned := func(route caddyhttp.Route) bool { return len(route.HandlersRaw) > 0 }
	return slices.ContainsFunc(server.Routes, unprovisioned)
}

func (l errorLogger) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if err, failed := r.Context().Value(caddyhttp.ErrorCtxKey).(error); failed {
		l.log(r, err)
	}
	return next.ServeHTTP(w, r)
}

// log logs the cause of an error, unless the handler that failed has logged it. Caddy's own
// handlers, such as reverse_proxy, do not.
func (l errorLogger) log(r *http.Request, err error) {
	rec := request.Of(r)
	status, reason := http.StatusInternalServerError, err
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		status = cmp.Or(handlerErr.StatusCode, status)
		reason = cmp.Or(handlerErr.Err, err) // omits the ID and source line that HandlerError adds
	}
	rec.FailedUntracked(r, status)
	if rec.HasCause() {
		return
	}
	rec.SetCause(request.CauseOf(status), reason.Error())
	if status < http.StatusInternalServerError {
		return
	}
	health.SiteFailed(reason)
	request.LogFailure(r, l.Logger, request.Site, status, reason)
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
	_ caddy.Provisioner           = (*APIErrors)(nil)
	_ caddyhttp.MiddlewareHandler = (*APIErrors)(nil)
	_ caddyhttp.MiddlewareHandler = errorLogger{}
	_ caddyfile.Unmarshaler       = (*APIErrors)(nil)
)
