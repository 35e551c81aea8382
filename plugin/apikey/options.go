package apikey

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/limit"
)

// Options of an Authenticator. A field that is zero has its default.
type Options struct {
	// Size is how many ordinary keys are cached. One with many allowed hostnames counts as several.
	// Default: 100,000.
	Size int
	// TTL is how long a cached key is used without asking the store. A revocation does not wait for
	// it: see Notify. Default: 1 minute.
	TTL time.Duration
	// Stale is how long past its last check a cached key is used while the store cannot answer. If it
	// is negative, service is rejected then. Default: 5 minutes.
	Stale time.Duration
	// Guesses is what each client address may spend on keys that do not exist. Default: 60 a minute.
	Guesses limit.Limit
	// Logger is told of outages of the store; nil discards.
	Logger *slog.Logger
	// Metrics registers the collectors; nil leaves them unregistered.
	Metrics prometheus.Registerer
}

// WithDefaults returns the options with their defaults filled in, or an error that names one that
// cannot be used.
func (o Options) WithDefaults() (Options, error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.Size = cmp.Or(o.Size, 100_000)
	o.TTL = cmp.Or(o.TTL, time.Minute)
	o.Stale = cmp.Or(o.Stale, 5*time.Minute)
	o.Guesses = cmp.Or(o.Guesses, limit.Limit{Rate: 60, Period: time.Minute, Burst: 60})
	switch {
	case o.Size < 1:
		return o, fmt.Errorf("the key cache must hold at least 1 key, not %d", o.Size)
	case o.TTL < 0:
		return o, fmt.Errorf("the key cache's ttl must be positive, not %s", o.TTL)
	}
	if err := o.Guesses.Validate(); err != nil {
		return o, fmt.Errorf("guesses: %w", err)
	}
	return o, nil
}
