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
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/ratelimit"
)

// APIKeyAuth admits requests with a valid API key, sent as `Authorization: Bearer <key>` or
// `Authorization: <key>`. It rejects all others without waiting for the body: 425 if the request is
// TLS early data, 401 if the key is missing or not valid, 403 if it lacks a scope, 429 if the
// client address has used up its budget of guesses, and 503 if the key cannot be looked up.
//
// It sets the placeholder `{http.auth.user.id}`, which the access log shows as user_id, to the ID
// of the key.
type APIKeyAuth struct {
	// Scopes that the key must all have. Default: none, so any valid key passes. No scope implies
	// another. The scopes are linksRead, linksWrite, collectionsRead, collectionsWrite, tagsRead,
	// tagsWrite, partnersRead, partnersWrite, customersRead, customersWrite, analyticsRead and
	// conversionsWrite.
	Scopes []string `json:"scopes,omitempty"`

	app      *App
	logger   *zap.Logger
	required apikey.Required
}

// CaddyModule returns the Caddy module information.
func (APIKeyAuth) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.api_key_auth", New: func() caddy.Module { return new(APIKeyAuth) }}
}

// Provision sets up the handler and rejects unknown scopes.
func (a *APIKeyAuth) Provision(ctx caddy.Context) (err error) {
	a.logger = ctx.Logger()
	if a.required, err = apikey.ParseRequired(a.Scopes); err != nil {
		return err
	}
	a.app, err = loadApp(ctx)
	return err
}

// ServeHTTP passes on a request with a valid key, which [apikey.FromContext] then returns.
func (a *APIKeyAuth) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) (err error) {
	rec, w := request.Begin(w, r)
	err = request.ErrPanicked // reverse_proxy panics if the site breaks off a response
	defer func() { rec.End(r, err) }()
	return a.serve(w, r, rec, next)
}

func (a *APIKeyAuth) serve(w http.ResponseWriter, r *http.Request, rec *request.Record, next caddyhttp.Handler) error {
	backend := a.app.lease.Use()
	if isEarlyData(r) {
		backend.Keys.CountEarlyData()
		request.Reject(w, r, request.Auth, http.StatusTooEarly, "early_data",
			func() { apierror.Write(w, apierror.TooEarly) })
		return nil
	}
	client, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	key, found, err := backend.Keys.Authenticate(r.Context(), r.Header, client, a.required)
	rec.Authenticated(r, found, time.Now())
	if err != nil {
		return a.handleError(w, r, rec, err)
	}
	rec.SetKey(r, key)
	return next.ServeHTTP(w, r.WithContext(apikey.NewContext(r.Context(), key)))
}

// handleError answers a request that Authenticate rejected, or returns an error for error routes.
func (a *APIKeyAuth) handleError(w http.ResponseWriter, r *http.Request, rec *request.Record, err error) error {
	rec.SetRejection(err)
	if rejected, ok := errors.AsType[*apikey.Rejected](err); ok {
		request.Reject(w, r, request.Auth, http.StatusUnauthorized, string(rejected.Cause), func() {
			w.Header().Set("WWW-Authenticate", rejected.Challenge())
			apierror.Write(w, apierror.InvalidKey)
		})
		return nil
	}
	if lacking, ok := errors.AsType[*apikey.MissingScopes](err); ok {
		rec.SetKey(r, lacking.Key)
		request.Reject(w, r, request.Auth, http.StatusForbidden, "missing_scopes", func() {
			w.Header().Set("WWW-Authenticate", lacking.Challenge())
			apierror.WriteMissingScopes(w, lacking.Scopes)
		})
		return nil
	}
	if spent, ok := errors.AsType[*apikey.GuessesSpent](err); ok {
		request.Reject(w, r, request.Auth, http.StatusTooManyRequests, "guesses_spent", func() {
			budget := ratelimit.Decision{Evaluated: true,
				State: ratelimit.State{Limit: spent.Limit, ResetAfter: spent.ResetAfter}}
			budget.SetHeaders(w.Header(), time.Now())
			apierror.WriteRateLimitExceeded(w, spent.RetryAfter)
		})
		return nil
	}
	if r.Context().Err() != nil {
		rec.Answered(request.Auth, request.StatusClientGone)
		rec.SetCause(request.CauseOf(request.StatusClientGone), "")
		return caddyhttp.Error(request.StatusClientGone, err)
	}
	return request.Fail(w, r, request.Auth, a.logger, http.StatusServiceUnavailable, err)
}

// UnmarshalCaddyfile sets up the handler from its directive. Syntax:
//
//	api_key_auth [<matcher>] {
//		scopes <scope...>
//	}
func (a *APIKeyAuth) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return parseDirective(d, setting{name: "scopes", parse: func(d *caddyfile.Dispenser) error {
		if a.Scopes = d.RemainingArgs(); len(a.Scopes) == 0 {
			return d.ArgErr()
		}
		_, err := apikey.ParseRequired(a.Scopes)
		return wrapErr(d, err)
	}})
}

// Interface guards
var (
	_ caddy.Provisioner           = (*APIKeyAuth)(nil)
	_ caddyhttp.MiddlewareHandler = (*APIKeyAuth)(nil)
	_ caddyfile.Unmarshaler       = (*APIKeyAuth)(nil)
)
