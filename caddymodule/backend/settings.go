package backend

import (
	"crypto/sha256"
	"fmt"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/ratelimit"
	"hoko.to/edge/plugin/sale"
)

// Settings configures a Backend, which sets the loggers and registerers itself. Settings contain
// passwords: never log or marshal them.
type Settings struct {
	Postgres postgres.Options
	Keys     apikey.Options
	Limits   ratelimit.Options
	Sales    sale.RecorderOptions // Timeout is set from Postgres.SaleTimeout
}

// WithDefaults returns the settings with defaults, or an error if they are not valid.
func (s Settings) WithDefaults() (Settings, error) {
	var err error
	if s.Postgres, err = s.Postgres.WithDefaults(); err != nil {
		return s, fmt.Errorf("postgres: %w", err)
	}
	if s.Keys, err = s.Keys.WithDefaults(); err != nil {
		return s, fmt.Errorf("key_cache: %w", err)
	}
	if s.Limits, err = s.Limits.WithDefaults(); err != nil {
		return s, err // already names redis
	}
	s.Sales.Timeout = s.Postgres.SaleTimeout
	if s.Sales, err = s.Sales.WithDefaults(); err != nil {
		return s, fmt.Errorf("sales: %w", err)
	}
	return s, nil
}

// hash returns a hash of settings with defaults, which does not reveal passwords.
func (s Settings) hash() [sha256.Size]byte {
	s.Postgres.Logger, s.Keys.Logger, s.Limits.Logger, s.Sales.Logger = nil, nil, nil, nil
	s.Postgres.Metrics, s.Keys.Metrics, s.Limits.Metrics, s.Sales.Metrics = nil, nil, nil, nil
	return sha256.Sum256(fmt.Appendf(nil, "%#v", s))
}
