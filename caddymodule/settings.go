package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/ratelimit"
	"hoko.to/edge/plugin/sale"
)

// effective returns the settings that the app's config amounts to.
func (a *App) effective() (backend.Settings, error) {
	if err := a.validate(); err != nil {
		return backend.Settings{}, err
	}
	keys, err := a.keyOptions().WithDefaults()
	if err != nil {
		return backend.Settings{}, err
	}
	saleTimeout := cmp.Or(time.Duration(a.Sales.Timeout), 10*time.Second)
	s := backend.Settings{
		Postgres: postgres.Options{
			MaxConns:    cmp.Or(a.Postgres.MaxConns, 16),
			Writers:     cmp.Or(a.Sales.Writers, 4),
			Batch:       cmp.Or(a.Sales.Batch, 128),
			Queue:       cmp.Or(a.Sales.Queue, 4096),
			SaleTimeout: saleTimeout,
		},
		Keys:   keys,
		Limits: ratelimit.Options{Timeout: cmp.Or(time.Duration(a.Redis.Timeout), ratelimit.DefaultTimeout)},
		Sales:  sale.RecorderOptions{Timeout: saleTimeout},
	}
	return s, a.expand(&s)
}

func (a *App) keyOptions() apikey.Options {
	o := apikey.Options{Size: a.KeyCache.Size, TTL: time.Duration(a.KeyCache.TTL)}
	if stale := a.KeyCache.Stale; stale != nil {
		o.Stale = cmp.Or(time.Duration(*stale), -1) // 0 fails closed
	}
	if g := a.Guesses; g != nil {
		o.Guesses = limit.Limit{Rate: g.Rate, Period: time.Duration(g.Period), Burst: g.Rate}
	}
	return o
}

// expand takes the secrets from where the config says they are.
func (a *App) expand(s *backend.Settings) error {
	if a.Postgres.DSN == "" {
		return errors.New("postgres: no address: write postgres {env.DATABASE_URL} into the hoko block")
	}
	if a.Redis.URL == "" {
		return errors.New("redis: no address: write redis {env.REDIS_URL} into the hoko block")
	}
	for _, secret := range []struct {
		to                   *string
		name, value, example string
	}{
		{&s.Postgres.DSN, "postgres", a.Postgres.DSN, "postgres://user:password@host:5432/database"},
		{&s.Postgres.ListenDSN, "postgres: listen_dsn", a.Postgres.ListenDSN, "postgres://user:password@host:5432/database"},
		{&s.Limits.URL, "redis", a.Redis.URL, "redis://host:6379/0"},
		{&s.Limits.Prefix, "redis: prefix", a.Redis.Prefix, "staging:"},
	} {
		value, err := expand(secret.value, secret.example)
		if err != nil {
			return fmt.Errorf("%s: %w", secret.name, err)
		}
		*secret.to = value
	}
	s.Limits.Prefix = cmp.Or(s.Limits.Prefix, ratelimit.DefaultPrefix)
	return nil
}

// expand replaces {env.*} and {file.*}, and says which of them is empty.
func expand(value, example string) (string, error) {
	return caddy.NewReplacer().ReplaceFunc(value, func(name string, val any) (any, error) {
		variable, isEnv := strings.CutPrefix(name, "env.")
		switch {
		case !isEnv && !strings.HasPrefix(name, "file."):
			return nil, fmt.Errorf("{%s} is not known here: use {env.*} or {file.*}", name)
		case caddy.ToString(val) != "":
			return val, nil
		case isEnv:
			return nil, fmt.Errorf("{%s} is empty: set %s, e.g. %s", name, variable, example)
		default:
			return nil, fmt.Errorf("{%s} is empty or cannot be read", name)
		}
	})
}

// literalPassword finds a password that stands in an address in clear: the
// config then shows it to everybody who may read the config.
var literalPassword = regexp.MustCompile(`(?i)\bpassword\s*=\s*[^\s{]|://[^:@/]*:[^{@/][^@/]*@`)
