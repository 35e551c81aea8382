package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"hoko.to/edge/plugin/limit"
)

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

func (p *Postgres) unmarshal(d *caddyfile.Dispenser) error {
	if err := stringArg(d, &p.DSN); err != nil {
		return err
	}
	return block(d, func(name string) error {
		switch name {
		case "listen_dsn":
			return stringArg(d, &p.ListenDSN)
		case "max_conns":
			return intArg(d, maxConnsBounds, &p.MaxConns)
		}
		return unknown(d, "postgres", "listen_dsn and max_conns")
	})
}

func (r *Redis) unmarshal(d *caddyfile.Dispenser) error {
	if err := stringArg(d, &r.URL); err != nil {
		return err
	}
	return block(d, func(name string) error {
		switch name {
		case "prefix":
			return stringArg(d, &r.Prefix)
		case "timeout":
			return durationArg(d, redisTimeoutBounds, &r.Timeout)
		}
		return unknown(d, "redis", "prefix and timeout")
	})
}

func (c *KeyCache) unmarshal(d *caddyfile.Dispenser) error {
	if err := noMoreArgs(d); err != nil {
		return err
	}
	return block(d, func(name string) error {
		switch name {
		case "size":
			return intArg(d, cacheSizeBounds, &c.Size)
		case "ttl":
			return durationArg(d, ttlBounds, &c.TTL)
		case "stale":
			c.Stale = new(caddy.Duration)
			return durationArg(d, staleBounds, c.Stale)
		}
		return unknown(d, "key_cache", "size, ttl and stale")
	})
}

func (a *App) unmarshalGuesses(d *caddyfile.Dispenser) error {
	var text string
	if err := stringArg(d, &text); err != nil {
		return err
	}
	budget, err := limit.Parse(text)
	if err != nil {
		return d.WrapErr(err)
	}
	a.Guesses = &Guesses{Rate: budget.Rate, Period: caddy.Duration(budget.Period)}
	return nil
}

func (s *Sales) unmarshal(d *caddyfile.Dispenser) error {
	if err := noMoreArgs(d); err != nil {
		return err
	}
	return block(d, func(name string) error {
		switch name {
		case "writers":
			return intArg(d, writersBounds, &s.Writers)
		case "batch":
			return intArg(d, batchBounds, &s.Batch)
		case "queue":
			return intArg(d, queueBounds, &s.Queue)
		case "timeout":
			return durationArg(d, saleTimeoutBounds, &s.Timeout)
		}
		return unknown(d, "sales", "writers, batch, queue and timeout")
	})
}

// Interface guard
var _ caddyfile.Unmarshaler = (*App)(nil)
