package caddymodule

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/sale"
)

// TrackSale records the sale of a POST /api/track/sale and answers 201 once it
// is committed in Postgres. It goes behind `api_key_auth`, and answers every
// request it gets.
type TrackSale struct {
	// How long the body may take to arrive, at most 64 KiB, before it is
	// answered 408. Default: 10s.
	BodyTimeout caddy.Duration `json:"body_timeout,omitempty"`

	logger  *zap.Logger
	handler *sale.Handler
}

// saleScopes are what a sale asks of a key, whatever the route asked of it.
var saleScopes = func() apikey.Required {
	required, err := apikey.ParseRequired([]string{"conversionsWrite"})
	if err != nil {
		panic(err) // it is one of the twelve
	}
	return required
}()

// CaddyModule returns the Caddy module information.
func (TrackSale) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.track_sale",
		New: func() caddy.Module { return new(TrackSale) },
	}
}

// Provision sets the handler up.
func (t *TrackSale) Provision(ctx caddy.Context) error {
	t.logger = ctx.Logger()
	t.BodyTimeout = cmp.Or(t.BodyTimeout, caddy.Duration(10*time.Second))
	bodyTimeout := time.Duration(t.BodyTimeout)
	if err := bodyTimeoutBounds.check("body_timeout", bodyTimeout); err != nil {
		return err
	}
	app, err := configuredApp(ctx)
	if err != nil {
		return err
	}
	app.longestBody = max(app.longestBody, bodyTimeout)
	t.handler, err = sale.NewHandler(sale.HandlerOptions{
		Recorder:    app.lease.Backend.Recorder, // a verified key has started it before Serve uses it
		BodyTimeout: bodyTimeout,
		Logger:      ctx.Slogger(), // unlike the backend's, it knows the request
	})
	return err
}

func (t *TrackSale) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	key, verified := apikey.FromContext(r.Context())
	if !verified {
		return fail(w, r, t.logger, http.StatusInternalServerError, errUnverified)
	}
	if missing := saleScopes.Missing(key.Scopes); missing != nil {
		refuseScopes(w, r, missing)
		return nil
	}
	markOwn(w, r)
	err := t.handler.Serve(w, r)
	if failure, ok := errors.AsType[*apierror.Failure](err); ok {
		return fail(w, r, t.logger, failure.Err.Status, failure.Cause)
	}
	return err
}

// UnmarshalCaddyfile sets the handler up from its directive. Syntax:
//
//	track_sale [<matcher>] {
//		body_timeout <duration>
//	}
func (t *TrackSale) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if err := noMoreArgs(d); err != nil {
		return err
	}
	return block(d, func(name string) error {
		if name != "body_timeout" {
			return unknown(d, "track_sale", "body_timeout")
		}
		return durationArg(d, bodyTimeoutBounds, &t.BodyTimeout)
	})
}

// Interface guards
var (
	_ caddy.Provisioner           = (*TrackSale)(nil)
	_ caddyhttp.MiddlewareHandler = (*TrackSale)(nil)
	_ caddyfile.Unmarshaler       = (*TrackSale)(nil)
)
