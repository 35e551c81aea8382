// Package caddymodule registers Hoko Edge's Caddy modules and commands: the app `hoko` with the
// settings, one HTTP handler for each stage of a request, the admin endpoint /hoko/, the log format
// `hoko`, and the command `caddy hoko`. The packages in plugin/ implement the stages and do
// not import Caddy.
package caddymodule

import (
	"context"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/caddymodule/cli"
	"hoko.to/edge/caddymodule/health"
	"hoko.to/edge/caddymodule/logencoder"
	"hoko.to/edge/plugin/ratelimit"
)

func init() {
	caddy.RegisterModule(App{})
	caddy.RegisterModule(APIKeyAuth{})
	caddy.RegisterModule(RedisRateLimit{})
	caddy.RegisterModule(TrackSale{})
	caddy.RegisterModule(APIErrors{})
	caddy.RegisterModule(RequestFields{})
	caddy.RegisterModule(adminState{})
	caddy.RegisterModule(health.Handler{})
	caddy.RegisterModule(logencoder.Encoder{})

	httpcaddyfile.RegisterGlobalOption("hoko", parseApp)
	httpcaddyfile.RegisterHandlerDirective("api_key_auth", parseHandler[APIKeyAuth])
	httpcaddyfile.RegisterHandlerDirective("redis_rate_limit", parseRedisRateLimit)
	httpcaddyfile.RegisterHandlerDirective("track_sale", parseHandler[TrackSale])
	httpcaddyfile.RegisterHandlerDirective("api_errors", parseHandler[APIErrors])
	httpcaddyfile.RegisterHandlerDirective("request_fields", parseHandler[RequestFields])
	httpcaddyfile.RegisterHandlerDirective("hoko_health", parseHandler[health.Handler])

	// Each goes right after request_header, so the one registered last runs first.
	for _, name := range []string{
		"api_errors", "track_sale", "redis_rate_limit", "api_key_auth", "request_fields", "hoko_health",
	} {
		httpcaddyfile.RegisterDirectiveOrder(name, httpcaddyfile.After, "request_header")
	}

	cli.Register()
	ratelimit.LogTo(backend.ProcessLogger()) // go-redis has one logger per process

	// By then, all requests have ended, even those of earlier configs, or the grace period is over.
	caddy.OnExit(func(context.Context) { backend.DropExpiring() })
}

// parseHandler returns a handler of type T, set up from its directive.
func parseHandler[T any, P interface {
	*T
	caddyfile.Unmarshaler
	caddyhttp.MiddlewareHandler
}](h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := P(new(T))
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return handler, nil
}
