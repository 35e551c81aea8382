package apikey

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/limit"
)

// Defaults of the settings.
const (
	DefaultSize          = 100_000
	DefaultTTL           = time.Minute
	DefaultStale         = 5 * time.Minute
	DefaultGuesses       = 60
	DefaultGuessesPeriod = time.Minute
)

// Options of an Authenticator. All but Logger and Metrics must be set; the
// Default constants serve.
type Options struct {
	// Size is how many keys are cached.
	Size int
	// TTL is how long a cached key is used without asking the store. A
	// revocation does not wait for it: see Notify.
	TTL time.Duration
	// Stale is how long past its last check a cached key is used while the
	// store cannot answer. 0 refuses service then.
	Stale time.Duration
	// Guesses is what each client address may spend on keys that do not exist.
	Guesses limit.Limit
	// Logger hears of outages of the store; nil discards.
	Logger *slog.Logger
	// Metrics registers the collectors; nil leaves them unregistered.
	Metrics prometheus.Registerer
}

func (o Options) validate() error {
	switch {
	case o.Size < 1:
		return fmt.Errorf("the key cache must hold at least 1 key, not %d", o.Size)
	case o.TTL <= 0:
		return fmt.Errorf("the key cache's ttl must be positive, not %s", o.TTL)
	case o.Stale < 0:
		return fmt.Errorf("the key cache's stale must not be negative: %s", o.Stale)
	}
	if err := o.Guesses.Validate(); err != nil {
		return fmt.Errorf("guesses: %w", err)
	}
	return nil
}
