package apikey

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

var (
	// ErrNotFound means that the store has no such key. Authenticate returns a *Rejected instead.
	ErrNotFound = errors.New("no such key")
	// ErrUnavailable is the error for a 503: the key could not be looked up.
	ErrUnavailable = errors.New("key cannot be looked up")
)

// Store looks up keys.
type Store interface {
	// Keys returns the keys with these hashes, valid or not, and leaves out hashes without a key.
	// It returns an error if it cannot answer. It must return soon after ctx is done; an
	// Authenticator sets a deadline of 3 seconds. The hashes are distinct. The caller does not
	// change the keys. Without hashes, the error reports whether the store responds at all.
	Keys(ctx context.Context, hashes []Hash) (map[Hash]*Key, error)
}

const (
	// outageTTL is how long an outage is assumed after a failed lookup.
	outageTTL = 5 * time.Second
	// probeInterval is the time between lookups that test whether an outage is over.
	probeInterval = lookupTimeout
	// outageLogInterval bounds how often outages are logged.
	outageLogInterval = time.Minute
)

// outage records that the store failed, so that only the first affected requests wait for it.
type outage struct {
	failed       atomic.Int64 // when the last lookup failed, by lookups.now; 0 after one that succeeded
	probes, logs rate.Sometimes
	logger       *slog.Logger
}

func newOutage(logger *slog.Logger) outage {
	return outage{
		probes: rate.Sometimes{Interval: probeInterval},
		logs:   rate.Sometimes{Interval: outageLogInterval},
		logger: logger,
	}
}

func (o *outage) begin(now time.Duration, err error) {
	o.failed.Store(int64(max(now, 1)))
	if allow(&o.logs) {
		o.logger.Warn("key lookups fail, serving cached keys", "error", err)
	}
}

func (o *outage) end() {
	if o.failed.Load() != 0 {
		o.failed.Store(0)
	}
}

// active reports whether a lookup failed within outageTTL and none has succeeded since.
func (o *outage) active(now time.Duration) bool {
	failed := o.failed.Load()
	return failed != 0 && now-time.Duration(failed) < outageTTL
}

// shouldProbe reports whether the caller must ask the store: one caller in each probeInterval.
func (o *outage) shouldProbe() bool { return allow(&o.probes) }

// allow reports whether throttle allows the caller to act now. If the caller acted within Do, other
// callers would wait for it.
func allow(throttle *rate.Sometimes) (allowed bool) {
	throttle.Do(func() { allowed = true })
	return allowed
}
