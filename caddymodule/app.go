package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/limit"
)

// App holds what the edge's handlers share: the connections to Postgres and Redis, and the caches.
// Configs with the same effective settings share them, so a reload that changes nothing here costs
// nothing here.
//
// Neither Postgres nor Redis has to be reachable when the config is loaded.
type App struct {
	// The database of keys and sales. Required.
	Postgres Postgres `json:"postgres,omitzero"`

	// The Redis that counts the rate limits. Required.
	Redis Redis `json:"redis,omitzero"`

	// How verified keys are cached.
	KeyCache KeyCache `json:"key_cache,omitzero"`

	// How many unknown keys a client address (an IPv6 client's /64) may try on each edge before it
	// is answered 429. Cached keys are not affected. Behind a load balancer, set `trusted_proxies`,
	// or all clients share one budget. Default: 60 per minute.
	Guesses *limit.Limit `json:"guesses,omitempty"`

	// How sales are written.
	Sales Sales `json:"sales,omitzero"`

	lease       *backend.Lease
	servers     map[*caddyhttp.Server]bool // completed
	logger      *slog.Logger
	limits      map[string]limit.Limit // by handler name: handlers with the same name share buckets
	longestBody time.Duration          // how long the slowest body of a sale may take
}

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hoko", New: func() caddy.Module { return new(App) }}
}

// Provision takes a lease on the backend of these settings. It also runs under `caddy validate`, so
// it connects to nothing.
func (a *App) Provision(ctx caddy.Context) error {
	a.logger = ctx.Slogger()
	a.limits = make(map[string]limit.Limit)
	a.servers = make(map[*caddyhttp.Server]bool)
	settings, err := a.backendSettings()
	if err != nil {
		return err
	}
	if a.lease, err = backend.NewLease(settings, a.logger.Handler()); err != nil {
		return err
	}
	events, err := ctx.App("events")
	if err != nil {
		return err
	}
	if err := events.(*caddyevents.App).On("started", onStarted{a.lease}); err != nil {
		return err
	}
	return ctx.GetMetricsRegistry().Register(backend.Collector{Backend: a.lease.Backend})
}

// Start does nothing: another app of this config may still fail to start. The first request, or the
// end of a start that did not fail, starts the backend.
func (a *App) Start() error { return nil }

// onStarted uses the lease of a config once all its apps have started, so that the edge begins to
// listen for changed keys. It does not wait for Postgres.
type onStarted struct{ lease *backend.Lease }

// Handle handles the event "started".
func (s onStarted) Handle(context.Context, caddy.Event) error {
	s.lease.Use()
	return nil
}

// Stop does nothing: Caddy stops apps in any order, and requests may still be in flight. Cleanup,
// which runs after all of them, releases the backend.
func (a *App) Stop() error { return nil }

// Cleanup releases this config's lease on the backend. It also runs if Provision failed.
func (a *App) Cleanup() error {
	if a.lease != nil {
		a.lease.Release(a.longestBody)
	}
	return nil
}

// claimLimit registers the limit of a handler name.
func (a *App) claimLimit(name string, limit limit.Limit) error {
	if claimed, ok := a.limits[name]; ok && claimed != limit {
		return fmt.Errorf("handlers of one name share their buckets, but two of name %q have different limits: "+
			"give one another name", name)
	}
	a.limits[name] = limit
	return nil
}

// configuredApp returns the app that a handler works with. It also completes the handler's server.
func configuredApp(ctx caddy.Context) (*App, error) {
	app, err := ctx.AppIfConfigured("hoko")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, errors.New("the global options have no hoko block: " +
			"add hoko { postgres {env.DATABASE_URL}; redis {env.REDIS_URL} }, a line each")
	}
	if err != nil {
		return nil, err
	}
	configured := app.(*App)
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		err = configured.completeServer(server)
	}
	return configured, err
}

// completeServer checks the server whose first handler of ours is being provisioned, and makes it
// answer 421. Handlers are provisioned in order, so all of ours that the server has are still JSON.
func (a *App) completeServer(server *caddyhttp.Server) error {
	if a.servers[server] {
		return nil
	}
	a.servers[server] = true
	if server.Logs != nil && server.Logs.ShouldLogCredentials {
		a.logger.Warn("log_credentials writes API keys to logs that have no format hoko: remove it from the servers option",
			slog.Any("listen", server.Listen))
	}
	check := authCheck{named: server.NamedRoutes}
	check.server(server)
	if check.unverified != nil && !check.found {
		return fmt.Errorf("%s answers every request 500, because no api_key_auth is on this server: "+
			"put api_key_auth before it, with the same matcher", check.unverified[0])
	}
	for _, handler := range check.unverified {
		a.logger.Warn("no api_key_auth is seen before a handler, which answers 500 without one: "+
			"put api_key_auth before it, with the same matcher",
			slog.String("handler", handler), slog.Any("listen", server.Listen))
	}
	answerMisdirected(server)
	logErrors(server)
	return nil
}

// parseApp sets up the app from the global option `hoko`.
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("there is a hoko block already")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "hoko", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app from the global option. Syntax:
//
//	hoko {
//		require_env <variable...>
//		postgres <dsn> {
//			listen_dsn <dsn>
//			max_conns  <number>
//		}
//		redis <url> {
//			prefix  <text>
//			timeout <duration>
//		}
//		key_cache {
//			size  <number>
//			ttl   <duration>
//			stale <duration>
//		}
//		guesses <rate>/<period>
//		sales {
//			writers <number>
//			batch   <number>
//			queue   <number>
//			timeout <duration>
//		}
//	}
//
// Only postgres and redis are required. Adapting fails if a variable of require_env is unset or
// empty; name those that the Caddyfile reads as {$*}. Write the addresses as {env.*} or {file.*}
// placeholders, which are expanded when the config is loaded. The admin endpoint shows literal
// values and the values of {$*}.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return parseDirective(d,
		setting{name: "require_env", parse: requireEnv},
		setting{name: "postgres", parse: a.Postgres.unmarshal},
		setting{name: "redis", parse: a.Redis.unmarshal},
		setting{name: "key_cache", parse: a.KeyCache.unmarshal},
		setting{name: "guesses", parse: a.parseGuesses},
		setting{name: "sales", parse: a.Sales.unmarshal},
	)
}

// Interface guards
var (
	_ caddy.App             = (*App)(nil)
	_ caddy.Provisioner     = (*App)(nil)
	_ caddy.CleanerUpper    = (*App)(nil)
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddyevents.Handler   = onStarted{}
)
