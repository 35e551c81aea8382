package caddymodule

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/ratelimit"
)

// APIKeyAuth admits requests with a valid API key, sent as `Authorization: Bearer <key>` or
// `Authorization: <key>`. It answers all others without reading the body: 425 before the TLS
// handshake is complete, 401 without a valid key, 403 if the key lacks a scope, 429 to an address
// that guesses too often, and 503 if the key must be looked up and Postgres is unreachable.
//
// Sets the placeholder `{http.auth.user.id}`, which the access log shows as user_id, to the ID of
// the key.
type APIKeyAuth struct {
	// Scopes that the key must have, all of them. Default: none, so that any valid key passes.
	// Scopes are exact and independent: linksRead, linksWrite, collectionsRead, collectionsWrite,
	// tagsRead, tagsWrite, partnersRead, partnersWrite, customersRead, customersWrite,
	// analyticsRead, conversionsWrite.
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
	a.app, err = configuredApp(ctx)
	return err
}

func (a *APIKeyAuth) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if early(r) {
		refuse(w, r, "early_data", func() { apierror.Write(w, apierror.TooEarly) })
		return nil
	}
	client, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	key, err := a.app.lease.Use().Keys.Authenticate(r.Context(), r.Header, client)
	if err != nil {
		return a.reject(w, r, err)
	}
	replacer(r).Set("http.auth.user.id", key.ID)
	logField(r, "workspace_id", key.WorkspaceID)
	if missing := a.required.Missing(key.Scopes); missing != nil {
		refuseScopes(w, r, missing)
		return nil
	}
	return next.ServeHTTP(w, r.WithContext(apikey.NewContext(r.Context(), key)))
}

// reject answers a request without a valid key.
func (a *APIKeyAuth) reject(w http.ResponseWriter, r *http.Request, err error) error {
	if refused, ok := errors.AsType[*apikey.Refused](err); ok {
		if refused.KeyID != "" {
			logField(r, "key_id", refused.KeyID)
		}
		refuse(w, r, string(refused.Cause), func() {
			w.Header().Set("WWW-Authenticate", refused.Challenge())
			apierror.Write(w, apierror.InvalidKey)
		})
		return nil
	}
	if spent, ok := errors.AsType[*apikey.GuessesSpent](err); ok {
		refuse(w, r, "guesses_spent", func() {
			budget := ratelimit.Decision{Evaluated: true, Limit: spent.Limit, ResetAfter: spent.ResetAfter}
			budget.SetHeaders(w.Header(), "", time.Now())
			apierror.WriteRateLimitExceeded(w, spent.RetryAfter)
		})
		return nil
	}
	if r.Context().Err() != nil {
		return caddyhttp.Error(statusClientClosedRequest, err)
	}
	return fail(w, r, a.logger, http.StatusServiceUnavailable, err)
}

// statusClientClosedRequest is the status that Caddy logs if the client did not wait. Nothing
// failed.
const statusClientClosedRequest = 499

// refuseScopes answers 403 and names the scopes that the key lacks.
func refuseScopes(w http.ResponseWriter, r *http.Request, missing []string) {
	refuse(w, r, "missing_scopes", func() {
		w.Header().Set("WWW-Authenticate", apikey.ScopeChallenge(missing))
		apierror.WriteMissingScopes(w, missing)
	})
}

// UnmarshalCaddyfile sets up the handler from its directive. Syntax:
//
//	api_key_auth [<matcher>] {
//		scopes <scope...>
//	}
//
// Without scopes, any valid key passes.
func (a *APIKeyAuth) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return parseDirective(d, setting{name: "scopes", parse: func(d *caddyfile.Dispenser) error {
		if a.Scopes = d.RemainingArgs(); len(a.Scopes) == 0 {
			return d.ArgErr()
		}
		_, err := apikey.ParseRequired(a.Scopes)
		return at(d, err)
	}})
}

// Interface guards
var (
	_ caddy.Provisioner           = (*APIKeyAuth)(nil)
	_ caddyhttp.MiddlewareHandler = (*APIKeyAuth)(nil)
	_ caddyfile.Unmarshaler       = (*APIKeyAuth)(nil)
)
