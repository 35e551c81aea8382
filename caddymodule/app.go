package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/caddymodule/version"
	"hoko.to/edge/plugin/limit"
)

// App holds what the edge's handlers share: the connections to Postgres and Redis, and the caches.
// A reload that does not change its settings keeps both. Postgres and Redis may be unreachable when
// the config is loaded.
type App struct {
	// The database of keys and sales. Required.
	Postgres Postgres `json:"postgres,omitzero"`

	// The Redis that holds the buckets of the rate limits. Required.
	Redis Redis `json:"redis,omitzero"`

	// How verified keys are cached.
	KeyCache KeyCache `json:"key_cache,omitzero"`

	// How many unknown keys a client address (IPv6: a /64) may try on each edge before it is
	// answered 429. Cached keys are not affected. Behind a load balancer, set `trusted_proxies`;
	// otherwise, all clients share one budget. Default: 60 per minute.
	Guesses *limit.Limit `json:"guesses,omitempty"`

	// How sales are written.
	Sales Sales `json:"sales,omitzero"`

	lease          *backend.Lease
	servers        map[*caddyhttp.Server]bool // already prepared
	logger         *slog.Logger
	limits         map[string]backend.Limit // by handler name: handlers with the same name share buckets
	maxBodyTimeout time.Duration            // the longest body_timeout of all handlers
}

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hoko", New: func() caddy.Module { return new(App) }}
}

// Provision takes a lease on the backend for these settings. It connects to nothing, because it
// also runs under `caddy validate`.
func (a *App) Provision(ctx caddy.Context) error {
	a.logger = ctx.Slogger()
	build := version.Read()
	a.logger.Info("loading a configuration of Hoko Edge", slog.String("version", build.Version),
		slog.String("revision", build.Revision), slog.String("caddy", build.Caddy), slog.String("go", build.Go),
		slog.Int("schema", int(build.Schema)))
	a.limits = make(map[string]backend.Limit)
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
	if err := events.(*caddyevents.App).On("started", onStarted{a}); err != nil {
		return err
	}
	return ctx.GetMetricsRegistry().Register(backend.Collector{})
}

// Start does nothing, because another app of this config may still fail to start. The first
// request, or the end of a successful start, starts the backend.
func (a *App) Start() error { return nil }

// onStarted handles the event "started", which follows the start of all apps of a config. It starts
// the backend, so that the edge listens for changed keys.
type onStarted struct{ app *App }

func (s onStarted) Handle(context.Context, caddy.Event) error {
	limits := slices.SortedFunc(maps.Values(s.app.limits), func(a, b backend.Limit) int {
		return strings.Compare(a.Name, b.Name)
	})
	s.app.lease.Activate(limits...)
	return nil
}

// Stop does nothing, because Caddy stops apps in any order, and requests may still be in flight.
// Cleanup, which runs after all apps have stopped, releases the backend.
func (a *App) Stop() error { return nil }

// Cleanup releases this config's lease on the backend. It also runs if Provision failed.
func (a *App) Cleanup() error {
	if a.lease != nil {
		a.lease.Release(a.maxBodyTimeout)
	}
	return nil
}

// registerLimit returns an error if another handler has a different limit of this name.
func (a *App) registerLimit(l backend.Limit) error {
	registered, ok := a.limits[l.Name]
	if !ok {
		a.limits[l.Name] = l
		return nil
	}
	return checkSameLimit(registered, l)
}

// loadApp returns the app of a handler's config, and prepares the handler's server.
func loadApp(ctx caddy.Context) (*App, error) {
	app, err := ctx.AppIfConfigured("hoko")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, errors.New("the global options have no hoko block: " +
			"add hoko { postgres {env.DATABASE_URL}; redis {env.REDIS_URL} }, one setting per line")
	}
	if err != nil {
		return nil, err
	}
	configured := app.(*App)
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		err = configured.prepareServer(ctx, server)
	}
	return configured, err
}

// prepareServer checks a server and makes it answer 421. It runs when the server's first handler of
// this module is provisioned, so the config of the module's other handlers there is still JSON.
func (a *App) prepareServer(ctx caddy.Context, server *caddyhttp.Server) error {
	if a.servers[server] {
		return nil
	}
	a.servers[server] = true
	if server.Logs != nil && server.Logs.ShouldLogCredentials {
		a.logger.Warn("log_credentials exposes API keys in logs without format hoko: remove it from the servers option",
			slog.Any("listen", server.Listen))
	}
	check := authCheck{namedRoutes: server.NamedRoutes}
	check.walkServer(server)
	if check.unverified != nil && !check.hasAuth {
		return fmt.Errorf("%s would answer every request with 500, because this server has no api_key_auth: "+
			"put api_key_auth before it, with the same matcher", check.unverified[0])
	}
	for _, handler := range check.unverified {
		a.logger.Warn("found no api_key_auth before a handler, which answers 500 without one: "+
			"put api_key_auth before it, with the same matcher",
			slog.String("handler", handler), slog.Any("listen", server.Listen))
	}
	addErrorLogger(ctx, server)
	rejectMisdirected(ctx, server)
	return nil
}

// parseApp sets up the app from the global option `hoko`.
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("the hoko block is given twice")
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
// Only postgres and redis are required. Adapting fails if a variable in require_env is unset or
// empty; list those that the Caddyfile reads as {$NAME}. Write addresses as {env.*} or {file.*}
// placeholders, which are expanded when the config is loaded: the admin endpoint shows literal
// values and those of {$NAME}.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return parseDirective(d,
		setting{name: "require_env", parse: parseRequireEnv},
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
