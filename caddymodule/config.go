package caddymodule

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"hoko.to/edge/plugin/limit"
)

// Postgres is the database of keys and sales.
type Postgres struct {
	// Connection string: postgres://user:password@host:5432/database, or
	// key=value pairs. Required. `{env.*}` and `{file.*}` placeholders are
	// expanded when the config is loaded, so that no password stands in it.
	// Of several hosts the primary is used.
	DSN string `json:"dsn,omitempty"`

	// Where LISTEN works if it does not on `dsn`: a PgBouncer in transaction
	// mode forgets a LISTEN. Default: `dsn`. Placeholders as there.
	ListenDSN string `json:"listen_dsn,omitempty"`

	// Most connections that this edge opens: one that listens, two for sales
	// whose customer somebody else holds locked, one for each of `sales.writers`,
	// and the rest, but at most eight, for key lookups. Default: 16.
	MaxConns int `json:"max_conns,omitempty"`
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

// Redis holds the buckets of the rate limits.
type Redis struct {
	// Address: redis://host:6379/0, rediss:// with TLS, unix:///run/redis.sock;
	// redis://a:6379,b:6379 is a Cluster, and ?master_name=main makes it
	// Sentinels. Required. `{env.*}` and `{file.*}` placeholders are expanded
	// when the config is loaded.
	URL string `json:"url,omitempty"`

	// What the edge's keys in Redis begin with. Edges that share a Redis and a
	// prefix share the limits: give staging and production different ones.
	// Default: hoko:. Placeholders as in `url`.
	Prefix string `json:"prefix,omitempty"`

	// How long a request waits for Redis before `on_error` of its limit
	// decides. Default: 50ms.
	Timeout caddy.Duration `json:"timeout,omitempty"`
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

// KeyCache keeps verified keys in memory.
type KeyCache struct {
	// How many keys. About 300 bytes each. Default: 100000.
	Size int `json:"size,omitempty"`

	// How long a key is trusted before it is looked up again. A revoked key
	// leaves the cache at once, whatever this says. Default: 60s.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How long past its last check a key is trusted while Postgres is out of
	// reach. 0 fails closed. Default: 5m.
	Stale *caddy.Duration `json:"stale,omitempty"`
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

// Guesses is a budget of lookups that find no key, for each client address (an

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

// IPv6 client's /64) and each edge.
type Guesses struct {
	// Lookups in each period, all of which may come at once.
	Rate int `json:"rate"`

	// The period.
	Period caddy.Duration `json:"period"`
}

// Sales says how sales are written to Postgres.
type Sales struct {
	// How many batches may be committed at once, each on a connection of its
	// own. A further one is only begun where a whole batch is waiting for the
	// one before it. Default: 4.
	Writers int `json:"writers,omitempty"`

	// Most sales of one batch, which is one statement. Default: 128.
	Batch int `json:"batch,omitempty"`

	// How many sales may wait for a writer; beyond it they are answered 503.
	// Default: 4096.
	Queue int `json:"queue,omitempty"`

	// How long a sale may take before it is answered 503 or 504. It starts when
	// the body has arrived, so `grace_period` should not be less than
	// `body_timeout` and this together. Default: 10s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
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

// validate refuses what a JSON config can hold and a Caddyfile cannot.
func (a *App) validate() error {
	return errors.Join(
		maxConnsBounds.checkSet("postgres: max_conns", a.Postgres.MaxConns),
		redisTimeoutBounds.checkSet("redis: timeout", time.Duration(a.Redis.Timeout)),
		cacheSizeBounds.checkSet("key_cache: size", a.KeyCache.Size),
		ttlBounds.checkSet("key_cache: ttl", time.Duration(a.KeyCache.TTL)),
		a.KeyCache.checkStale(),
		a.Guesses.check(),
		writersBounds.checkSet("sales: writers", a.Sales.Writers),
		batchBounds.checkSet("sales: batch", a.Sales.Batch),
		queueBounds.checkSet("sales: queue", a.Sales.Queue),
		saleTimeoutBounds.checkSet("sales: timeout", time.Duration(a.Sales.Timeout)),
	)
}

func (c KeyCache) checkStale() error {
	if c.Stale == nil {
		return nil
	}
	return staleBounds.check("key_cache: stale", time.Duration(*c.Stale))
}

func (g *Guesses) check() error {
	if g == nil {
		return nil
	}
	if err := (limit.Limit{Rate: g.Rate, Period: time.Duration(g.Period), Burst: g.Rate}).Validate(); err != nil {
		return fmt.Errorf("guesses: %w", err)
	}
	return nil
}
