package caddymodule

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/caddymodule/request"
	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/sale"
)

// TrackSale records the sale of a POST /api/track/sale and answers 201 once the sale is committed
// in Postgres. Use it after `api_key_auth`. It never calls the next handler. If the key lacks
// conversionsWrite, it answers 403, regardless of the scopes that `api_key_auth` requires.
type TrackSale struct {
	// How long the body, at most 64 KiB, may take to arrive before the request is answered 408.
	// Default: 10s.
	BodyTimeout caddy.Duration `json:"body_timeout,omitempty"`

	logger  *zap.Logger
	handler *sale.Handler
}

// CaddyModule returns the Caddy module information.
func (TrackSale) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.track_sale", New: func() caddy.Module { return new(TrackSale) }}
}

// Provision sets up the handler.
func (t *TrackSale) Provision(ctx caddy.Context) error {
	t.logger = ctx.Logger()
	if err := t.bodyTimeout().check(); err != nil {
		return err
	}
	app, err := loadApp(ctx)
	if err != nil {
		return err
	}
	options, err := sale.HandlerOptions{
		Recorder:    app.lease.Backend.Recorder, // APIKeyAuth has started it before Serve uses it
		BodyTimeout: time.Duration(t.BodyTimeout),
	}.WithDefaults()
	if err != nil {
		return err
	}
	app.maxBodyTimeout = max(app.maxBodyTimeout, options.BodyTimeout)
	t.handler, err = sale.NewHandler(options)
	return err
}

func (t *TrackSale) bodyTimeout() setting {
	return durationSetting("body_timeout", &t.BodyTimeout, 100*time.Millisecond, 5*time.Minute)
}

// ServeHTTP records the sale.
func (t *TrackSale) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	request.SetID(w, r)
	outcome, err := t.handler.Serve(w, r)
	rec := request.Of(r)
	rec.SetSale(outcome)
	if failure, ok := errors.AsType[*apierror.Failure](err); ok {
		return request.Fail(w, r, request.Sale, t.logger, failure.Err.Status, failure.Cause)
	}
	if rejected := outcome.Rejection; rejected != nil {
		rec.Answered(request.Sale, rejected.Status)
		rec.SetCause(rejected.Cause, rejected.Reason)
		return err
	}
	rec.Answered(request.Sale, http.StatusCreated)
	return err
}

// UnmarshalCaddyfile sets up the handler from its directive. Syntax:
//
//	track_sale [<matcher>] {
//		body_timeout <duration>
//	}
func (t *TrackSale) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return parseDirective(d, t.bodyTimeout())
}

// Interface guards
var (
	_ caddy.Provisioner           = (*TrackSale)(nil)
	_ caddyhttp.MiddlewareHandler = (*TrackSale)(nil)
	_ caddyfile.Unmarshaler       = (*TrackSale)(nil)
)
