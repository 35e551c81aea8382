package caddymodule

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/ratelimit"
)

// settings are what a backend is made of: defaults filled in and placeholders
// expanded. They hold passwords, so they are never logged or marshalled.
type settings struct {
	dsn, listenDSN string
	maxConns       int

	redisURL, redisPrefix string
	redisTimeout          time.Duration

	cacheSize            int
	cacheTTL, cacheStale time.Duration
	guessRate            int
	guessPeriod          time.Duration

	writers, batch, queue int
	saleTimeout           time.Duration
}

// hash tells settings apart without keeping them.
func (s settings) hash() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%#v", s))
}

// effective is what the app's config comes to.
func (a *App) effective() (settings, error) {
	if err := a.validate(); err != nil {
		return settings{}, err
	}
	s := settings{
		maxConns:     cmp.Or(a.Postgres.MaxConns, 16),
		redisTimeout: cmp.Or(time.Duration(a.Redis.Timeout), ratelimit.DefaultTimeout),
		cacheSize:    cmp.Or(a.KeyCache.Size, apikey.DefaultSize),
		cacheTTL:     cmp.Or(time.Duration(a.KeyCache.TTL), apikey.DefaultTTL),
		cacheStale:   apikey.DefaultStale,
		guessRate:    apikey.DefaultGuesses,
		guessPeriod:  apikey.DefaultGuessesPeriod,
		writers:      cmp.Or(a.Sales.Writers, 4),
		batch:        cmp.Or(a.Sales.Batch, 128),
		queue:        cmp.Or(a.Sales.Queue, 4096),
		saleTimeout:  cmp.Or(time.Duration(a.Sales.Timeout), 10*time.Second),
	}
	if a.KeyCache.Stale != nil {
		s.cacheStale = time.Duration(*a.KeyCache.Stale)
	}
	if a.Guesses != nil {
		s.guessRate, s.guessPeriod = a.Guesses.Rate, time.Duration(a.Guesses.Period)
	}
	return s, s.expand(a)
}

// expand takes the secrets from where the config says they are.
func (s *settings) expand(a *App) error {
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
		{&s.dsn, "postgres", a.Postgres.DSN, "postgres://user:password@host:5432/database"},
		{&s.listenDSN, "postgres: listen_dsn", a.Postgres.ListenDSN, "postgres://user:password@host:5432/database"},
		{&s.redisURL, "redis", a.Redis.URL, "redis://host:6379/0"},
		{&s.redisPrefix, "redis: prefix", a.Redis.Prefix, "staging:"},
	} {
		value, err := expand(secret.value, secret.example)
		if err != nil {
			return fmt.Errorf("%s: %w", secret.name, err)
		}
		*secret.to = value
	}
	s.redisPrefix = cmp.Or(s.redisPrefix, ratelimit.DefaultPrefix)
	return nil
}

// postgres is what the settings mean to the stores.
func (s settings) postgres(logger *slog.Logger, metrics prometheus.Registerer) postgres.Options {
	return postgres.Options{
		DSN:         s.dsn,
		ListenDSN:   s.listenDSN,
		MaxConns:    s.maxConns,
		Writers:     s.writers,
		Batch:       s.batch,
		Queue:       s.queue,
		SaleTimeout: s.saleTimeout,
		Logger:      logger,
		Metrics:     metrics,
	}
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
