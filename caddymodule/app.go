package caddymodule

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/limit"
)

// App is what the edge's handlers share: where keys, limits and sales live.
// Configs whose settings come to the same share one set of connections and
// caches, so a reload that changes nothing here costs nothing here.
//
// Neither Postgres nor Redis has to be reachable when the config is loaded.
type App struct {
	// The database of keys and sales. Required.
	Postgres Postgres `json:"postgres,omitzero"`

	// Where the rate limits are counted. Required.
	Redis Redis `json:"redis,omitzero"`

	// How verified keys are remembered.
	KeyCache KeyCache `json:"key_cache,omitzero"`

	// How many keys that do not exist a client address may try before it is
	// answered 429. Cached keys are not affected. Behind a load balancer set
	// `trusted_proxies`, or all clients share one budget. Default: 60 a minute.
	Guesses *Guesses `json:"guesses,omitempty"`

	// How sales are written.
	Sales Sales `json:"sales,omitzero"`

	lease  *backend.Lease
	logger *slog.Logger
	// limits by handler name: handlers of one name share buckets.
	limits map[string]limit.Limit
	// longestBody is how long the slowest body of a sale may take.
	longestBody time.Duration
}

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "hoko",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision takes a share in the backend of these settings. It runs under
// `caddy validate` too, so it connects to nothing.
func (a *App) Provision(ctx caddy.Context) error {
	a.logger = ctx.Slogger()
	a.limits = make(map[string]limit.Limit)
	effective, err := a.effective()
	if err != nil {
		return err
	}
	a.warnOfLiteralPasswords()
	a.lease, err = backend.NewLease(effective, a.logger.Handler())
	if err != nil {
		return err
	}
	return ctx.GetMetricsRegistry().Register(backend.Collector{Backend: a.lease.Backend})
}

func (a *App) warnOfLiteralPasswords() {
	for _, address := range []struct{ name, value string }{
		{"postgres", a.Postgres.DSN},
		{"postgres: listen_dsn", a.Postgres.ListenDSN},
		{"redis", a.Redis.URL},
	} {
		if literalPassword.MatchString(address.value) {
			a.logger.Warn("the config holds a password in clear, and the admin endpoint shows the config: use {env.*} or {file.*}",
				slog.String("setting", address.name))
		}
	}
}

// Start begins to listen for changed keys. It waits for nobody.
func (a *App) Start() error {
	a.lease.Use()
	tendGarbage()
	return nil
}

// Stop does nothing: Caddy stops apps in any order, and requests may still be
// under way. Cleanup, which comes after all of them, gives the backend up.
func (a *App) Stop() error { return nil }

// Cleanup gives up this config's share in the backend. It also runs where
// Provision failed.
func (a *App) Cleanup() error {
	if a.lease == nil {
		return nil
	}
	a.lease.Release(a.longestBody)
	return nil
}

// claimLimit registers the limit of a handler name.
func (a *App) claimLimit(name string, limit limit.Limit) error {
	if claimed, ok := a.limits[name]; ok && claimed != limit {
		return fmt.Errorf("handlers of one name share their buckets, but two of name %q have different limits: give one another name", name)
	}
	a.limits[name] = limit
	return nil
}

// configuredApp is the app that a handler works with.
func configuredApp(ctx caddy.Context) (*App, error) {
	app, err := ctx.AppIfConfigured("hoko")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, errors.New("the global options have no hoko block: add hoko { postgres {env.DATABASE_URL}; redis {env.REDIS_URL} }, a line each")
	}
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

// parseApp sets the app up from the global option `hoko`.
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

// UnmarshalCaddyfile sets the app up from the global option. Syntax:
//
//	hoko {
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
// Only postgres and redis are required. Write their addresses as {env.*} or
// {file.*} placeholders: those are expanded when the config is loaded, while
// what stands here, or comes from {$*}, is shown by the admin endpoint.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the option's name
	if d.NextArg() {
		return d.ArgErr()
	}
	return block(d, func(name string) error {
		switch name {
		case "postgres":
			return a.Postgres.unmarshal(d)
		case "redis":
			return a.Redis.unmarshal(d)
		case "key_cache":
			return a.KeyCache.unmarshal(d)
		case "guesses":
			return a.unmarshalGuesses(d)
		case "sales":
			return a.Sales.unmarshal(d)
		}
		return unknown(d, "hoko", "postgres, redis, key_cache, guesses and sales")
	})
}

// Interface guards
var (
	_ caddy.App             = (*App)(nil)
	_ caddy.Provisioner     = (*App)(nil)
	_ caddy.CleanerUpper    = (*App)(nil)
	_ caddyfile.Unmarshaler = (*App)(nil)
)
