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
	// ErrNotFound means that the store answered, and knows no such key.
	ErrNotFound = errors.New("no such key")
	// ErrUnavailable is a 503: the key could not be looked up.
	ErrUnavailable = errors.New("key cannot be looked up")
)

// Store looks keys up.
type Store interface {
	// Keys returns those of these hashes that there are, whatever their state. An error means that it
	// could not answer. It returns soon after ctx has ended, which happens within three seconds. No
	// hash is named twice, and the caller does not change the keys. Given no hashes it says whether it
	// can answer at all.
	Keys(ctx context.Context, hashes []Hash) (map[Hash]*Key, error)
}

const (
	// outageMemory is how long a failed lookup stands for the store's state.
	outageMemory = 5 * time.Second
	// probeInterval is that of the lookups that find out whether an outage is over.
	probeInterval = lookupTimeout
	// outageLogInterval: a store that comes and goes must not fill the log.
	outageLogInterval = time.Minute
)

// outage remembers that the store failed, so that only the first requests wait to find out.
type outage struct {
	failed       atomic.Int64 // when, on the lookups' clock, the last lookup failed; 0 after one that was answered
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

func (o *outage) began(now time.Duration, err error) {
	o.failed.Store(int64(max(now, 1)))
	if due(&o.logs) {
		o.logger.Warn("keys cannot be looked up; cached ones are served while they may be", "error", err)
	}
}

func (o *outage) ended() {
	if o.failed.Load() != 0 {
		o.failed.Store(0)
	}
}

// lasts reports whether the store failed a moment ago and has not answered since.
func (o *outage) lasts(now time.Duration) bool {
	failed := o.failed.Load()
	return failed != 0 && now-time.Duration(failed) < outageMemory
}

// probe reports, to one caller in each interval, that the store must be asked again.
func (o *outage) probe() bool { return due(&o.probes) }

// due is true for one caller in each interval. It lets the others go on while that one acts.
func due(in *rate.Sometimes) (yes bool) {
	in.Do(func() { yes = true })
	return yes
}
