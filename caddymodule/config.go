package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/ratelimit"
)

// Postgres configures the database of keys and sales.
type Postgres struct {
	// Connection string: postgres://user:password@host:5432/database or key=value pairs. Required.
	// If it names several hosts, the edge uses the primary. `{env.*}` and `{file.*}` placeholders
	// are expanded when the config is loaded, so the config contains no password.
	DSN string `json:"dsn,omitempty"`

	// Connection string for LISTEN, if `dsn` names a PgBouncer in transaction mode, which does not
	// support LISTEN. It must name the same database. Placeholders work as in `dsn`. Default:
	// `dsn`.
	ListenDSN string `json:"listen_dsn,omitempty"`

	// Maximum number of connections of this edge: one for the listener, two for sales whose
	// customer is locked by another session, one for each of `sales.writers`, and the rest, at most
	// eight, for key lookups. Default: 16.
	MaxConns int `json:"max_conns,omitempty"`
}

func (p *Postgres) settings() []setting {
	return []setting{
		textSetting("listen_dsn", &p.ListenDSN, anyText),
		intSetting("max_conns", &p.MaxConns, 5, 1000),
	}
}

func (p *Postgres) unmarshal(d *caddyfile.Dispenser) error {
	if err := textSetting("postgres", &p.DSN, anyText).parse(d); err != nil {
		return err
	}
	return parseBlock(d, "postgres", p.settings()...)
}

// Redis configures the Redis that holds the buckets of the rate limits.
type Redis struct {
	// Address: redis://host:6379/0, rediss:// for TLS, or unix:///run/redis.sock. Several hosts, as
	// in redis://a:6379,b:6379, are a Cluster or, with ?master_name=main, Sentinels. Required.
	// `{env.*}` and `{file.*}` placeholders are expanded when the config is loaded.
	URL string `json:"url,omitempty"`

	// Prefix of the edge's keys in Redis. Edges with the same Redis and prefix share limits, so use
	// different prefixes for staging and production. Placeholders work as in `url`. Default: hoko:.
	Prefix string `json:"prefix,omitempty"`

	// How long a request waits for Redis before `on_error` of its limit decides. Default: 50ms.
	Timeout caddy.Duration `json:"timeout,omitempty"`
}

func (r *Redis) settings() []setting {
	return []setting{
		textSetting("prefix", &r.Prefix, anyText),
		durationSetting("timeout", &r.Timeout, time.Millisecond, 10*time.Second),
	}
}

func (r *Redis) unmarshal(d *caddyfile.Dispenser) error {
	if err := textSetting("redis", &r.URL, anyText).parse(d); err != nil {
		return err
	}
	return parseBlock(d, "redis", r.settings()...)
}

// KeyCache configures the cache of verified keys.
type KeyCache struct {
	// Maximum number of keys, about 400 bytes each. A key with many allowed host names counts as
	// several. Default: 100000.
	Size int `json:"size,omitempty"`

	// How long a key is trusted before it is looked up again. A revoked key leaves the cache
	// immediately, regardless of this setting. Default: 60s.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How long past its last check a key is trusted if Postgres is unreachable. With 0, requests
	// with a key that is due for a check are answered 503. Default: 5m.
	Stale *caddy.Duration `json:"stale,omitempty"`
}

func (c *KeyCache) settings() []setting {
	stale := cmp.Or(c.Stale, new(caddy.Duration))
	staleSetting := durationSetting("stale", stale, 0, 7*24*time.Hour)
	parseStale := staleSetting.parse
	staleSetting.parse = func(d *caddyfile.Dispenser) error {
		c.Stale = stale
		return parseStale(d)
	}
	return []setting{
		intSetting("size", &c.Size, 1, 10_000_000),
		durationSetting("ttl", &c.TTL, time.Second, 24*time.Hour),
		staleSetting,
	}
}

func (c *KeyCache) unmarshal(d *caddyfile.Dispenser) error { return parseSection(d, c.settings()...) }

func (a *App) keyOptions() apikey.Options {
	o := apikey.Options{Size: a.KeyCache.Size, TTL: time.Duration(a.KeyCache.TTL)}
	if stale := a.KeyCache.Stale; stale != nil {
		// In apikey.Options, zero means the default, and a negative value no stale keys.
		o.Stale = cmp.Or(time.Duration(*stale), -1)
	}
	if a.Guesses != nil {
		o.Guesses = *a.Guesses
	}
	return o
}

// Sales configures how sales are written to Postgres.
type Sales struct {
	// Maximum number of batches that are committed at the same time, each on its own connection.
	// Another batch starts only if a whole batch waits or the previous one is slow. Default: 4.
	Writers int `json:"writers,omitempty"`

	// Maximum number of sales in a batch, which is one statement. Default: 128.
	Batch int `json:"batch,omitempty"`

	// Maximum number of sales that wait for a writer. If the queue is full, the edge sheds sales
	// with 503. Default: 4096.
	Queue int `json:"queue,omitempty"`

	// How long a sale may take, once its body has arrived, before it is answered 503 or 504.
	// `grace_period` should be at least `body_timeout` plus this. Default: 10s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
}

func (s *Sales) settings() []setting {
	return []setting{
		intSetting("writers", &s.Writers, 1, 64),
		intSetting("batch", &s.Batch, 1, 1000),
		intSetting("queue", &s.Queue, 1, 1_000_000),
		durationSetting("timeout", &s.Timeout, 100*time.Millisecond, 5*time.Minute),
	}
}

func (s *Sales) unmarshal(d *caddyfile.Dispenser) error { return parseSection(d, s.settings()...) }

// parseGuesses reads the budget of guesses, RATE/PERIOD.
func (a *App) parseGuesses(d *caddyfile.Dispenser) error {
	var text string
	return textSetting("guesses", &text, func(string) error {
		budget, err := limit.Parse(text)
		if err == nil && budget.Calendar != limit.None {
			err = errGuessQuota
		}
		a.Guesses = &budget
		return err
	}).parse(d)
}

var errGuessQuota = errors.New("a budget refills steadily: give a period such as 1m, not day or month")

// validate rejects values that a JSON config may contain and the Caddyfile parser rejects.
func (a *App) validate() error {
	err := errors.Join(
		checkAll("postgres", a.Postgres.settings()),
		checkAll("redis", a.Redis.settings()),
		checkAll("key_cache", a.KeyCache.settings()),
		checkAll("sales", a.Sales.settings()),
	)
	if a.Guesses != nil {
		invalid := a.Guesses.Validate()
		if a.Guesses.Calendar != limit.None {
			invalid = errGuessQuota
		}
		if invalid != nil {
			err = errors.Join(err, fmt.Errorf("guesses: %w", invalid))
		}
	}
	return err
}

const exampleDSN = "postgres://user:password@host:5432/database"

// backendSettings returns the settings with placeholders expanded, but without defaults.
func (a *App) backendSettings() (s backend.Settings, err error) {
	if err := a.validate(); err != nil {
		return s, err
	}
	const missing = "%s: address is missing: add %[1]s {env.%s} to the hoko block"
	if a.Postgres.DSN == "" {
		return s, fmt.Errorf(missing, "postgres", "DATABASE_URL")
	}
	if a.Redis.URL == "" {
		return s, fmt.Errorf(missing, "redis", "REDIS_URL")
	}
	s.Postgres = postgres.Options{
		MaxConns:    a.Postgres.MaxConns,
		Writers:     a.Sales.Writers,
		Batch:       a.Sales.Batch,
		Queue:       a.Sales.Queue,
		SaleTimeout: time.Duration(a.Sales.Timeout),
	}
	s.Keys = a.keyOptions()
	s.Limits = ratelimit.Options{Timeout: time.Duration(a.Redis.Timeout)}
	for _, secret := range []struct {
		to                   *string
		name, value, example string
	}{
		{&s.Postgres.DSN, "postgres", a.Postgres.DSN, exampleDSN},
		{&s.Postgres.ListenDSN, "postgres: listen_dsn", a.Postgres.ListenDSN, exampleDSN},
		{&s.Limits.URL, "redis", a.Redis.URL, "redis://host:6379/0"},
		{&s.Limits.Prefix, "redis: prefix", a.Redis.Prefix, "staging:"},
	} {
		if literalPassword.MatchString(secret.value) {
			a.logger.Warn("the config, which the admin endpoint shows, contains a password: "+
				"use {env.*} or {file.*}", slog.String("setting", secret.name))
		}
		if *secret.to, err = backend.ExpandPlaceholders(secret.value, secret.example); err != nil {
			return s, fmt.Errorf("%s: %w", secret.name, err)
		}
	}
	return s, nil
}

// literalPassword matches an address with a password in plain text.
var literalPassword = regexp.MustCompile(`(?i)\bpassword\s*=\s*[^\s{]|://[^:@/]*:[^{@/][^@/]*@`)
